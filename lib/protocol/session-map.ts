import { sessionKeyText, type SessionKey } from './session-key.js'

/**
 * What there is one of for each session, by the text of its key. What is done for one chat asks for its session many times
 * in a row, and names it by the same string: the last answer is known without a look at the others. And what was set last is
 * not yet among them: much is gone again before anything else is set.
 */
export class SessionMap<T extends object> {
  readonly #byText = new Map<string, T>()
  #lastText = ''
  #last: T | undefined
  /** The last one is not among the others. */
  #isApart = false

  get size (): number { return this.#byText.size + (this.#isApart ? 1 : 0) }

  get (key: SessionKey): T | undefined {
    return this.find(sessionKeyText(key))
  }

  /** @param text that of the session's key */
  find (text: string): T | undefined {
    if (this.#last !== undefined && text === this.#lastText) return this.#last
    const found = this.#byText.get(text)
    if (found !== undefined) this.#remember(text, found)
    return found
  }

  set (text: string, value: T): void {
    const isKnown = this.#byText.has(text)
    if (isKnown) this.#byText.set(text, value)
    else if (this.#isApart && text === this.#lastText) this.#isApart = false
    this.#remember(text, value)
    this.#isApart = !isKnown
  }

  delete (text: string): void {
    const isLast = this.#last !== undefined && text === this.#lastText
    const wasApart = isLast && this.#isApart
    if (wasApart) this.#isApart = false
    else this.#byText.delete(text)
    if (isLast) this.#remember('', undefined)
  }

  clear (): void {
    this.#isApart = false
    this.#remember('', undefined)
    this.#byText.clear()
  }

  /** In the order in which they were first set. */
  values (): IterableIterator<T> {
    this.#join()
    return this.#byText.values()
  }

  #remember (text: string, value: T | undefined): void {
    this.#join()
    this.#lastText = text
    this.#last = value
  }

  #join (): void {
    if (this.#isApart && this.#last !== undefined) this.#byText.set(this.#lastText, this.#last)
    this.#isApart = false
  }
}
