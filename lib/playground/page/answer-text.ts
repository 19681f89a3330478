import { element } from './elements.js'
import { renderMarkdown } from './markdown.js'

/** Of the time that passes, Markdown that is still growing is rendered for at most one part in so many. */
const RENDER_SHARE = 5

/** A text that grows, rendered as Markdown or shown as it is. */
export class AnswerText {
  readonly element = element('div', { class: 'text', dir: 'auto' })
  readonly #paint: (change: () => void) => void
  #text = ''
  #isSource = false
  #isAsked = false
  /** Rendering begins at the text's start: so the longer it gets, the less often. */
  #nextAt = 0

  /** @param paint makes a change of what is seen */
  constructor (paint: (change: () => void) => void) {
    this.#paint = paint
  }

  get text (): string { return this.#text }

  add (content: string): void {
    this.#text += content
    this.#ask()
  }

  replace (text: string): void {
    this.#text = text
    this.finish()
  }

  /** Shows all of it, now. */
  finish (): void {
    this.#nextAt = 0
    this.#render()
  }

  /** @returns whether it is shown as it is now */
  toggleSource (): boolean {
    this.#isSource = !this.#isSource
    this.#render()
    return this.#isSource
  }

  #ask (): void {
    if (this.#isAsked) return
    this.#isAsked = true
    requestAnimationFrame(() => {
      this.#isAsked = false
      if (performance.now() < this.#nextAt) this.#ask()
      else this.#render()
    })
  }

  #render (): void {
    const startedAt = performance.now()
    this.#paint(() => {
      this.element.classList.toggle('source', this.#isSource)
      this.element.replaceChildren(this.#isSource ? this.#text : renderMarkdown(this.#text))
    })
    const endedAt = performance.now()
    this.#nextAt = endedAt + (endedAt - startedAt) * RENDER_SHARE
  }
}
