import { sessionKeyText, type SessionKey } from './session-key.js'

/** Places of what was deleted are kept up to so many, or up to as many as there are others, if these are more. */
const MOST_EMPTY = 64

/**
 * What there is one of for each session, by the text of its key. What is done for one chat asks for its session many times
 * in a row, and names it by the same string: the last answer is known without a look at the others. And what was set last is
 * not yet among them: much is gone again before anything else is set.
 */
export class SessionMap<T extends object> {
  /**
   * What is deleted leaves its place, until there are many. A `Map` that grows and shrinks all the time makes a new table each time,
   * and V8 has each old one refer to the next: from the first that has become old, all later ones are kept, with what was in them,
   * until the next full collection.
   */
  #byText = new Map<string, T | undefined>()
  #empty = 0
  #lastText = ''
  #last: T | undefined
  /** The last one is not among the others. */
  #isApart = false

  get size (): number { return this.#byText.size - this.#empty + (this.#isApart ? 1 : 0) }

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
    const isKnown = this.#byText.get(text) !== undefined
    if (isKnown) this.#byText.set(text, value)
    else if (this.#isApart && text === this.#lastText) this.#isApart = false
    this.#remember(text, value)
    this.#isApart = !isKnown
  }

  delete (text: string): void {
    const isLast = this.#last !== undefined && text === this.#lastText
    const wasApart = isLast && this.#isApart
    if (wasApart) this.#isApart = false
    else if (this.#byText.get(text) !== undefined) this.#leaveEmpty(text)
    if (isLast) this.#remember('', undefined)
  }

  clear (): void {
    this.#isApart = false
    this.#remember('', undefined)
    this.#byText = new Map()
    this.#empty = 0
  }

  /** As they are now, in no order. */
  all (): T[] {
    this.#join()
    const all: T[] = []
    for (const value of this.#byText.values()) if (value !== undefined) all.push(value)
    return all
  }

  #remember (text: string, value: T | undefined): void {
    this.#join()
    this.#lastText = text
    this.#last = value
  }

  #join (): void {
    if (this.#isApart && this.#last !== undefined) {
      const { size } = this.#byText
      this.#byText.set(this.#lastText, this.#last)
      if (this.#byText.size === size) this.#empty--
    }
    this.#isApart = false
  }

  #leaveEmpty (text: string): void {
    this.#byText.set(text, undefined)
    this.#empty++
    if (this.#empty <= MOST_EMPTY || 2 * this.#empty <= this.#byText.size) return
    const others = new Map<string, T | undefined>()
    for (const [text, value] of this.#byText) if (value !== undefined) others.set(text, value)
    this.#byText = others
    this.#empty = 0
  }
}
