/** Something that happens once. Whoever asks when it has happened is called at once: what ends at once costs no promise. */
export class Moment {
  #hasCome = false
  /** Mostly it is one who waits. */
  #first: (() => void) | undefined
  #others: Array<() => void> | undefined

  get hasCome (): boolean { return this.#hasCome }

  /** It happens; a second time changes nothing. */
  come (): void {
    this.#hasCome = true
    const [first, others] = [this.#first, this.#others]
    this.#first = this.#others = undefined
    first?.()
    if (others !== undefined) for (const call of others) call()
  }

  /** @param call must not throw */
  whenCome (call: () => void): void {
    if (this.#hasCome) call()
    else if (this.#first === undefined) this.#first = call
    else (this.#others ??= []).push(call)
  }

  /** Settles when it happens. */
  async waited (): Promise<void> {
    await new Promise<void>((resolve) => { this.whenCome(resolve) })
  }
}
