import { ChannelClientError, createChannelClient, type ChannelClient, type ConnectionState, type Subscription } from '../../client/index.js'
import { Composer } from './composer.js'
import { element, freshElementId } from './elements.js'
import { FrameList } from './frame-list.js'
import type { Place } from './place.js'
import { Transcript } from './transcript.js'
import { TurnTimings } from './turn-timings.js'
import { whyRefused } from './why-refused.js'
import { Wire, type WireNews } from './wire.js'
import { phrase, say } from './words.js'

/** More than that nobody listens to at once. */
const MAX_ANNOUNCED = 500
/** So a channel that lets in answers who does not ask for a socket. */
const UPGRADE_REQUIRED = 426

/** One client with a connection of its own, and all that can be seen of it. */
export class Device {
  readonly element: HTMLElement
  readonly #place: Place
  readonly #client: ChannelClient
  readonly #wire = new Wire((news) => { this.#hear(news) })
  readonly #timings = new TurnTimings()
  readonly #frames: FrameList
  readonly #transcript: Transcript
  readonly #composer: Composer
  readonly #state = element('span', { class: 'state' })
  readonly #trouble = element('p', { class: 'fault', role: 'alert' })
  readonly #announcement = element('p', { class: 'unseen', role: 'status' })
  #isSocketOpen = false

  /** Connects at once. */
  constructor (name: string, place: Place) {
    this.#place = place
    const { agentId, sessionId, url, token } = place
    this.#frames = new FrameList(name)
    this.#client = createChannelClient({ url, agentId, sessionId, WebSocket: this.#wire.WebSocket, ...(token === '' ? {} : { token }) })
    this.#transcript = new Transcript(name, {
      client: this.#client,
      agentId,
      timing: (id) => this.#timings.tell(id),
      announce: (text) => { this.#announce(phrase('answered', { text })) },
      onTrouble: (err) => { this.#tellTrouble(err) }
    })
    this.#composer = new Composer((chat) => { this.#transcript.takeOwn(this.#client.chat(chat)) }, () => { this.#stopAll() })
    this.element = this.#build(name)
    this.#client.on('state', (state) => { this.#onState(state) })
    this.#client.on('error', (error) => { this.#tellTrouble(error) })
    this.#onState(this.#client.state)
    const subscription = this.#client.subscribe()
    void this.#follow(subscription)
    // From then on what is not told is in the history. Where it never comes to that, #follow says why.
    subscription.ready.then(async () => { await this.#transcript.refresh() }, () => {})
  }

  focus (): void {
    this.#composer.focus()
  }

  close (): void {
    this.#client.close()
    this.element.remove()
  }

  #build (name: string): HTMLElement {
    const title = say(element('h2', { id: freshElementId() }), 'device', { name })
    const cut = say(element('button', { type: 'button', class: 'quiet' }), 'cut')
    cut.addEventListener('click', () => { this.#wire.cut() })
    const stopAll = say(element('button', { type: 'button', class: 'quiet' }), 'stopAll')
    stopAll.addEventListener('click', () => { this.#stopAll() })
    return element('section', { class: 'device', 'aria-labelledby': title.id, 'data-device': name },
      element('div', { class: 'device-head' }, title, this.#state, cut, stopAll),
      this.#trouble, this.#announcement, this.#transcript.element, this.#frames.element, this.#composer.element)
  }

  async #follow (subscription: Subscription): Promise<void> {
    try {
      for await (const news of subscription) {
        if (news.type === 'turn') this.#transcript.take(news.turn)
        else if (news.type === 'event') this.#transcript.takeEvent(news.event)
        else {
          this.#announce(phrase('gap'))
          void this.#transcript.refresh()
        }
      }
    } catch (err) {
      this.#tellTrouble(err)
    }
  }

  #stopAll (): void {
    this.#client.cancel().catch((err: unknown) => { this.#tellTrouble(err) })
  }

  #hear (news: WireNews): void {
    this.#timings.take(news)
    this.#frames.take(news)
    if (news.kind === 'opening' || news.kind === 'open') this.#isSocketOpen = news.kind === 'open'
    if (news.kind === 'closed' && !this.#isSocketOpen) void this.#tellWhy()
  }

  #onState (state: ConnectionState): void {
    if (state === 'open') this.#trouble.textContent = ''
    this.#state.dataset.state = state
    say(this.#state, state)
    this.#announce(phrase(state))
  }

  #tellTrouble (err: unknown): void {
    // Who has closed this device knows it.
    if (!(err instanceof ChannelClientError) || err.code === 'CLOSED') return
    if (err.code === 'CONNECTION_REFUSED' || err.code === 'UNAUTHORIZED') void this.#tellWhy(err)
    else say(this.#trouble, 'failed', { code: err.code, text: err.message })
  }

  /** In the server's own words, as far as it has any: a socket is refused without. */
  async #tellWhy (err?: ChannelClientError): Promise<void> {
    const refusal = await whyRefused(this.#place)
    if (this.#client.state === 'open') return
    if (refusal !== undefined && refusal.status !== UPGRADE_REQUIRED) say(this.#trouble, 'refused', refusal)
    else if (err !== undefined) say(this.#trouble, 'failed', { code: err.code, text: err.message })
    else if (refusal !== undefined) say(this.#trouble, 'socketRefused')
  }

  #announce (text: string): void {
    this.#announcement.textContent = text.slice(0, MAX_ANNOUNCED).toWellFormed()
  }
}
