/**
 * The turns of a session that wait, in their order. Most often there is none or one, for which there is no list; and there are
 * few: a list is smaller than a map, and as fast.
 */
export class WaitingTurns<Turn extends { chat: { turnId: string } }> {
  #first: Turn | undefined
  /** Those behind it. */
  #others: readonly Turn[] = NONE

  get size (): number { return this.#first === undefined ? 0 : 1 + this.#others.length }

  get first (): Turn | undefined { return this.#first }

  /** As they are now. */
  all (): readonly Turn[] {
    return this.#first === undefined ? NONE : [this.#first, ...this.#others]
  }

  find (turnId: string): Turn | undefined {
    if (this.#first?.chat.turnId === turnId) return this.#first
    return this.#others.length === 0 ? undefined : this.#others.find(({ chat }) => chat.turnId === turnId)
  }

  /** In place of another one of its id, or behind all. */
  add (turn: Turn): void {
    const { turnId } = turn.chat
    if (this.#first === undefined || this.#first.chat.turnId === turnId) {
      this.#first = turn
      return
    }
    const index = this.#others.findIndex(({ chat }) => chat.turnId === turnId)
    this.#others = index < 0 ? this.#others.concat(turn) : this.#others.with(index, turn)
  }

  /** Another one of its id, which has taken its place, stays. */
  delete (turn: Turn): void {
    if (this.#first === turn) {
      this.#first = this.#others[0]
      if (this.#others.length > 0) this.#others = this.#others.slice(1)
    } else if (this.#others.includes(turn)) {
      this.#others = this.#others.filter((other) => other !== turn)
    }
  }
}

const NONE: readonly never[] = []
