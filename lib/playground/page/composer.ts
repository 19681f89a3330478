import type { BusyPolicy, ChatRequest } from '../../client/index.js'
import { element, freshElementId } from './elements.js'
import { say } from './words.js'
import type { Word } from './words-english.js'

const POLICIES: ReadonlyArray<[BusyPolicy | '', Word]> = [['', 'byServer'], ['queue', 'queue'], ['reject', 'reject'], ['interrupt', 'interrupt']]

/** Where questions are written, with what may be said beside them. */
export class Composer {
  readonly element: HTMLFormElement
  readonly #message: HTMLTextAreaElement
  readonly #onBusy = element('select')
  readonly #stream = element('input', { type: 'checkbox', checked: '' })
  readonly #metadata = element('textarea', { rows: '2', spellcheck: 'false', placeholder: '{}' })
  readonly #fault = element('p', { class: 'fault', id: freshElementId(), role: 'alert' })

  constructor (onSend: (chat: Pick<ChatRequest, 'message' | 'metadata' | 'onBusy' | 'stream'>) => void, onStop: () => void) {
    this.#message = say(element('textarea', { class: 'message', rows: '2', dir: 'auto', 'aria-describedby': this.#fault.id }), 'messageHint', {}, 'placeholder')
    for (const [value, word] of POLICIES) this.#onBusy.append(say(element('option', { value }), word))
    this.element = element('form', { class: 'composer' },
      labelled('message', this.#message, 'unseen'),
      this.#fault,
      element('div', { class: 'composer-foot' },
        element('details', { class: 'terms' }, say(element('summary'), 'terms'),
          element('div', { class: 'terms-list' },
            labelled('whenBusy', this.#onBusy),
            element('label', { class: 'check' }, this.#stream, say(element('span'), 'streamed')),
            labelled('metadata', this.#metadata))),
        say(element('button', { type: 'submit', class: 'primary' }), 'send')))
    const send = (): void => {
      const metadata = this.#readMetadata()
      const message = this.#message.value
      if (message.trim() === '' || metadata === null) return this.#message.focus()
      this.#message.value = ''
      onSend({ message, metadata, onBusy: this.#policy(), stream: this.#stream.checked ? undefined : false })
    }
    this.element.addEventListener('submit', (event) => {
      event.preventDefault()
      send()
    })
    this.#message.addEventListener('keydown', (event) => {
      // Enter that ends the choice of a Chinese word is no message.
      if (event.isComposing) return
      if (event.key === 'Enter' && !event.shiftKey) {
        event.preventDefault()
        send()
      } else if (event.key === 'Escape') onStop()
    })
  }

  focus (): void {
    this.#message.focus()
  }

  #policy (): BusyPolicy | undefined {
    return POLICIES.map(([value]) => value).find((value) => value === this.#onBusy.value) || undefined
  }

  /** `null` for what is no object; that is said. */
  #readMetadata (): Record<string, unknown> | undefined | null {
    this.#fault.textContent = ''
    const text = this.#metadata.value.trim()
    if (text === '') return undefined
    try {
      const value: unknown = JSON.parse(text)
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
    } catch { /* it is no JSON: no object either */ }
    say(this.#fault, 'badMetadata')
    return null
  }
}

/** A field with its name in front of it. */
export function labelled (word: Word, field: HTMLElement, className = ''): HTMLElement {
  field.id ||= freshElementId()
  return element('div', { class: 'field' }, say(element('label', { for: field.id, class: className }), word), field)
}
