/** Wakes whoever waits for something new. */
export class News {
  #next: Promise<void> | undefined
  #tell: () => void = () => {}

  /** Settles when there is news. */
  next (): Promise<void> {
    this.#next ??= new Promise((resolve) => { this.#tell = resolve })
    return this.#next
  }

  tell (): void {
    this.#tell()
    this.#next = undefined
  }
}
