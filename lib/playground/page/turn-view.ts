import { ChannelClientError, type ClientTurn, type SessionMessage, type TurnResult } from '../../client/index.js'
import { Activity } from './activity.js'
import { AnswerText } from './answer-text.js'
import { element } from './elements.js'
import { phrase, say, sayAll } from './words.js'

/** What a turn is shown with. */
export interface TurnViewTools {
  /** For people, as far as it was measured. */
  timing: (id: string) => string[]
  /** Something has grown. */
  onGrown: (change: () => void) => void
  /** The turn has ended, and how is not known: the history may tell. */
  onUnknown: () => void
  /** What a screen reader is to say. */
  onAnswered: (text: string) => void
}

type TurnState = 'waiting' | 'running' | 'ended'

/** One question and its answer, while it comes or as the history has it. */
export class TurnView {
  readonly id: string
  readonly element: HTMLElement
  readonly #tools: TurnViewTools
  readonly #question = element('div', { class: 'question', hidden: '' })
  readonly #activity = new Activity()
  readonly #text: AnswerText
  readonly #messages = element('div', { class: 'whole-messages' })
  readonly #outcome = element('p', { class: 'outcome' })
  readonly #stop = element('button', { type: 'button', class: 'quiet stop', hidden: '' })
  readonly #source = element('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', hidden: '' })
  #state: TurnState = 'ended'
  #isFailed = false
  #isFollowed = false

  constructor (about: { id: string, agentId: string, message: string | undefined }, tools: TurnViewTools) {
    this.id = about.id
    this.#tools = tools
    this.#text = new AnswerText((change) => {
      tools.onGrown(() => {
        change()
        this.#source.hidden = this.#text.text === ''
        if (this.#state === 'running') this.#tellProgress()
      })
    })
    say(this.#stop, 'stop')
    say(this.#source, 'source').addEventListener('click', () => {
      this.#source.setAttribute('aria-pressed', String(this.#text.toggleSource()))
    })
    this.element = element('article', { class: 'turn', 'data-turn': about.id, 'aria-busy': 'false' },
      this.#question,
      element('div', { class: 'answer' }, element('h3', { dir: 'auto' }, about.agentId), this.#activity.element, this.#messages, this.#text.element,
        element('div', { class: 'turn-foot' }, this.#outcome, this.#stop, this.#source)))
    this.#ask(about.message)
  }

  get isOpen (): boolean { return this.#state !== 'ended' }

  /** It ended in an error, or the page does not know how. */
  get isFailed (): boolean { return this.#isFailed }

  /** It is, or was, shown as it came: the history alone knows of a turn that runs no more than the question. */
  get isFollowed (): boolean { return this.#isFollowed }

  /** Shows a turn as it comes, to its end. */
  async follow (turn: ClientTurn): Promise<void> {
    this.#isFollowed = true
    this.#enter('waiting')
    say(this.#outcome, 'sending')
    this.#stop.addEventListener('click', () => { turn.cancel().catch((err: unknown) => { this.#fail(err) }) })
    try {
      for await (const event of turn.events) {
        switch (event.type) {
          case 'text':
            this.#text.add(event.content)
            this.#enter('running')
            break
          case 'ack':
            if (event.status === 'queued') say(this.#outcome, 'queued', { position: event.position ?? 1 })
            else this.#enter('running')
            break
          case 'event':
            if (event.name !== 'turn-started') this.#tools.onGrown(() => { this.#activity.take(event) })
            this.#enter('running')
            break
          case 'message': {
            const whole = new AnswerText(this.#tools.onGrown)
            this.#messages.append(whole.element)
            whole.add(event.content)
            this.#enter('running')
          }
        }
      }
      this.#end(await turn.finished)
    } catch (err) {
      this.#fail(err)
    }
  }

  /** Shows what the history has of it, or a part of that: a page may begin in the midst of a turn. */
  takeHistory (messages: SessionMessage[]): void {
    this.#ask(messages.find(({ role }) => role === 'user')?.content)
    const answer = messages.find(({ role }) => role === 'assistant')
    if (answer !== undefined) {
      this.#isFailed = false
      this.element.classList.remove('failed')
      this.#messages.replaceChildren()
      this.#text.replace(answer.content)
      say(this.#outcome, answer.complete ? 'kept' : 'keptPartly')
    } else if (this.#outcome.textContent === '') say(this.#outcome, 'noAnswer')
  }

  #ask (message: string | undefined): void {
    if (message === undefined || !this.#question.hidden) return
    this.#question.hidden = false
    this.#question.append(say(element('h3'), 'you'), element('p', { class: 'said', dir: 'auto' }, message))
  }

  #enter (state: TurnState): void {
    if (state === this.#state) return
    this.#state = state
    this.element.setAttribute('aria-busy', String(state !== 'ended'))
    this.#stop.hidden = state === 'ended'
    if (state === 'running') this.#tellProgress()
  }

  #tellProgress (): void {
    sayAll(this.#outcome, () => [phrase('answering'), ...this.#tools.timing(this.id)].join(' · '))
  }

  #end ({ finishReason, usage }: TurnResult): void {
    this.#text.finish()
    this.#enter('ended')
    sayAll(this.#outcome, () => [
      phrase('ended', { reason: finishReason }),
      ...this.#tools.timing(this.id),
      ...usage === undefined ? [] : [phrase('usage', { input: usage.inputTokens, output: usage.outputTokens })]
    ].join(' · '))
    this.#tools.onAnswered(this.#text.text)
  }

  #fail (err: unknown): void {
    this.#isFailed = true
    this.#text.finish()
    this.#enter('ended')
    this.element.classList.add('failed')
    const { code, text } = err instanceof ChannelClientError ? { code: err.code, text: err.message } : { code: 'Error', text: String(err) }
    say(this.#outcome, 'failed', { code, text })
    this.#tools.onAnswered(this.#outcome.textContent)
    if (code === 'OUTCOME_UNKNOWN' || code === 'TEXT_CHANGED') this.#tools.onUnknown()
  }
}
