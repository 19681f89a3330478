import { sessionKeyText, type SessionKey } from './session-key.js'

/**
 * What there is one of for each session, by the text of its key. What is done for one chat asks for its session many times
 * in a row, and names it by the same string: the last answer is known without a look at the others.
 */
export class SessionMap<T extends object> {
  readonly #byText = new Map<string, T>()
  #lastText = ''
  #last: T | undefined

  get size (): number { return this.#byText.size }

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
    this.#byText.set(text, value)
    this.#remember(text, value)
  }

  delete (text: string): void {
    if (text === this.#lastText) this.#remember('', undefined)
    this.#byText.delete(text)
  }

  clear (): void {
    this.#remember('', undefined)
    this.#byText.clear()
  }

  values (): IterableIterator<T> {
    return this.#byText.values()
  }

  #remember (text: string, value: T | undefined): void {
    this.#lastText = text
    this.#last = value
  }
}
