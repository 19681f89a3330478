/**
 * A set of ids of which there is mostly one or none: that one lies in it, and is found without being hashed. A `Set` is made for
 * more. Of ids only, and they are compared with ids: where V8 has seen anything else compared, it takes its time for all.
 */
export class FewIds implements Iterable<string> {
  #first: string | undefined
  #others: Set<string> | undefined

  get size (): number { return (this.#first === undefined ? 0 : 1) + (this.#others?.size ?? 0) }

  has (id: string): boolean {
    return (this.#first !== undefined && id === this.#first) || this.#others?.has(id) === true
  }

  add (id: string): void {
    if (this.has(id)) return
    if (this.#first === undefined) this.#first = id
    else (this.#others ??= new Set()).add(id)
  }

  /** Answers whether it was there. */
  delete (id: string): boolean {
    if (this.#first === undefined || id !== this.#first) return this.#others?.delete(id) === true
    this.#first = undefined
    return true
  }

  /** In no order. What is deleted meanwhile, and has not been given, is not. */
  * [Symbol.iterator] (): Generator<string, void> {
    if (this.#first !== undefined) yield this.#first
    if (this.#others !== undefined) yield * this.#others
  }
}
