import { labelled } from './composer.js'
import { element, freshElementId } from './elements.js'
import { freshSessionId, type PageConfig, type Place } from './place.js'
import { recentSessions } from './preferences.js'
import { say } from './words.js'

/** Where agent, session and token are chosen. */
export class PlaceForm {
  readonly element: HTMLFormElement
  readonly #agent: HTMLInputElement
  readonly #session: HTMLInputElement
  readonly #token: HTMLInputElement
  readonly #sessions = element('datalist', { id: freshElementId() })

  constructor ({ agents }: PageConfig, { url, agentId, sessionId }: Place, onChosen: (place: Place) => void) {
    const known = element('datalist', { id: freshElementId() }, ...agents.map(({ id, description }) =>
      element('option', { value: id, ...(description === undefined ? {} : { label: `${id}: ${description}` }) })))
    this.#agent = nameField({ value: agentId, list: known.id })
    this.#session = nameField({ value: sessionId, list: this.#sessions.id })
    this.#token = element('input', { type: 'password', autocomplete: 'off', spellcheck: 'false' })
    say(this.#token, 'tokenHint', {}, 'placeholder')
    const fresh = say(element('button', { type: 'button', class: 'quiet' }), 'newSession')
    fresh.addEventListener('click', () => {
      this.#session.value = freshSessionId()
      this.element.requestSubmit()
    })
    this.element = element('form', { class: 'place' },
      labelled('agent', this.#agent), labelled('session', this.#session), fresh, labelled('token', this.#token),
      say(element('button', { type: 'submit' }), 'connect'), known, this.#sessions)
    this.element.addEventListener('submit', (event) => {
      event.preventDefault()
      onChosen({ url, agentId: this.#agent.value, sessionId: this.#session.value, token: this.#token.value })
      this.#listSessions()
    })
    this.#listSessions()
  }

  #listSessions (): void {
    this.#sessions.replaceChildren(...recentSessions().map((value) => element('option', { value })))
  }
}

function nameField (attributes: Record<string, string>): HTMLInputElement {
  return element('input', { required: '', maxlength: '128', autocomplete: 'off', spellcheck: 'false', dir: 'auto', ...attributes })
}
