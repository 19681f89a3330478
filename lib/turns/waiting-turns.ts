/** The turns of a session that wait, in their order. There are few: a list is smaller than a map, and as fast. */
export class WaitingTurns<Turn extends { chat: { turnId: string } }> {
  #turns: readonly Turn[] = NONE

  get size (): number { return this.#turns.length }

  get first (): Turn | undefined { return this.#turns[0] }

  /** As they are now. */
  all (): readonly Turn[] {
    return this.#turns
  }

  find (turnId: string): Turn | undefined {
    return this.#turns.find(({ chat }) => chat.turnId === turnId)
  }

  /** In place of another one of its id, or behind all. */
  add (turn: Turn): void {
    const index = this.#turns.findIndex(({ chat }) => chat.turnId === turn.chat.turnId)
    this.#turns = index < 0 ? this.#turns.concat(turn) : this.#turns.with(index, turn)
  }

  /** Another one of its id, which has taken its place, stays. */
  delete (turn: Turn): void {
    const index = this.#turns.indexOf(turn)
    if (index >= 0) this.#turns = this.size === 1 ? NONE : this.#turns.toSpliced(index, 1)
  }
}

const NONE: readonly never[] = []
