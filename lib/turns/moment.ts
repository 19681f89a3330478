/** Something that happens once. Whoever asks when it has happened is called at once: what ends at once costs no promise. */
export class Moment {
  #hasCome = false
  #waiting: Array<() => void> | undefined

  get hasCome (): boolean { return this.#hasCome }

  /** It happens; a second time changes nothing. */
  come (): void {
    this.#hasCome = true
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined) for (const call of waiting) call()
  }

  /** @param call must not throw */
  whenCome (call: () => void): void {
    if (this.#hasCome) call()
    else (this.#waiting ??= []).push(call)
  }

  /** Settles when it happens. */
  async waited (): Promise<void> {
    await new Promise<void>((resolve) => { this.whenCome(resolve) })
  }
}
