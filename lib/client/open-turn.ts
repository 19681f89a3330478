import type { FinishReason } from '../protocol/names.js'
import type { ServerFrameOf, Usage } from '../protocol/server-frames.js'
import { ChannelClientError, errorOf } from './client-error.js'
import { News } from './news.js'
import { promiseOf } from './promise-of.js'

/** How a turn has ended; `aborted` with what there was of its text. */
export interface TurnResult {
  text: string
  finishReason: FinishReason
  usage?: Usage
}

/** What happens in a turn, in its order: text as it grows, else frames as they came. */
export type TurnEvent =
  | { type: 'text', content: string }
  | ServerFrameOf<'ack'>
  | ServerFrameOf<'event'>
  | ServerFrameOf<'message'>

/**
 * One question and its answer. Iterated, it gives the answer's text as it comes, from its start, once and exact; who
 * stops iterating does not stop the turn, `cancel` does, and so does the end of `await using`.
 */
export interface ClientTurn extends AsyncIterable<string>, AsyncDisposable {
  readonly id: string
  readonly agentId: string
  readonly sessionId: string
  /** The question. */
  readonly message: string
  readonly metadata: Readonly<Record<string, unknown>> | undefined
  /** What there is of the answer's text. */
  readonly text: string
  /** Everything, from the start: text, events, whole messages, and how the chat was acknowledged. */
  readonly events: AsyncIterable<TurnEvent>
  /** Rejects with a `ChannelClientError`, or with the reason of a signal. */
  readonly finished: Promise<TurnResult>
  /** Stops the turn, for everybody who follows it. Settles when it has ended. */
  cancel (): Promise<void>
}

/** A turn as far as it is known here: puts its text together, and keeps it for whoever reads it. */
export class OpenTurn implements ClientTurn {
  readonly id: string
  readonly agentId: string
  readonly sessionId: string
  readonly message: string
  readonly metadata: Readonly<Record<string, unknown>> | undefined
  readonly #finished = promiseOf<TurnResult>()
  readonly #events: OpenTurnEvents | undefined
  /** Pieces of text, and what happened between them. */
  readonly #log: Array<string | Exclude<TurnEvent, { type: 'text' }>> = []
  readonly #news = new News()
  #length = 0
  /** How much of the text the server has told, by its last word. */
  #told = 0
  #state: 'open' | 'ended' | { error: unknown } = 'open'

  /** @param events without them nobody else knows of it, and it is to fail */
  constructor (about: TurnAbout, events?: OpenTurnEvents) {
    this.id = about.id
    this.agentId = about.agentId
    this.sessionId = about.sessionId
    this.message = about.message
    this.metadata = about.metadata
    this.#events = events
  }

  get finished (): Promise<TurnResult> { return this.#finished.promise }

  get isOpen (): boolean { return this.#state === 'open' }

  get text (): string { return this.#log.filter((item) => typeof item === 'string').join('') }

  get events (): AsyncIterable<TurnEvent> {
    return { [Symbol.asyncIterator]: () => this.#read((item) => typeof item === 'string' ? { type: 'text', content: item } : item) }
  }

  [Symbol.asyncIterator] (): AsyncIterator<string> {
    return this.#read((item) => typeof item === 'string' ? item : undefined)
  }

  async cancel (): Promise<void> {
    if (this.isOpen) await this.#events?.onCancel()
    await this.finished.catch(() => {})
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.cancel()
  }

  /** A piece of text, behind what was told before: what is here already is not told again. */
  takePiece (content: string): void {
    const at = this.#told
    this.#told += content.length
    if (at === this.#length) this.#add(content)
    else this.#merge(at, content)
  }

  /** The whole text so far, in place of what was told before. */
  takeText (content: string): void {
    this.#told = content.length
    this.#merge(0, content)
  }

  takeEvent (event: Exclude<TurnEvent, { type: 'text' }>): void {
    this.#log.push(event)
    this.#news.tell()
  }

  takeEnd (frame: ServerFrameOf<'stream' | 'message' | 'error'>): void {
    if (frame.type === 'error') return this.fail(errorOf(frame))
    if (frame.type === 'message') this.takeText(frame.content)
    this.end(frame.finishReason, frame.usage)
  }

  end (finishReason: FinishReason = 'other', usage?: Usage): void {
    if (!this.isOpen) return
    this.#state = 'ended'
    this.#finished.resolve({ text: this.text, finishReason, ...(usage === undefined ? {} : { usage }) })
    this.#news.tell()
    this.#events?.onDone()
  }

  fail (error: unknown): void {
    if (!this.isOpen) return
    this.#state = { error }
    this.#finished.reject(error)
    this.#news.tell()
    this.#events?.onDone()
  }

  /** Text that begins somewhere in what is here already: both must be the same as far as both go. */
  #merge (at: number, content: string): void {
    const known = this.text.slice(at)
    if (content.startsWith(known)) this.#add(content.slice(known.length))
    else if (!known.startsWith(content)) this.fail(new ChannelClientError('TEXT_CHANGED'))
  }

  #add (content: string): void {
    if (content === '' || !this.isOpen) return
    this.#length += content.length
    this.#log.push(content)
    this.#news.tell()
  }

  async * #read<Item> (pick: (item: string | Exclude<TurnEvent, { type: 'text' }>) => Item | undefined): AsyncGenerator<Item, void> {
    for (let index = 0; index < this.#log.length || this.#state === 'open';) {
      if (index === this.#log.length) {
        await this.#news.next()
        continue
      }
      // There is one: the log only grows.
      const picked = pick(this.#log[index++] as string)
      if (picked !== undefined) yield picked
    }
    if (typeof this.#state === 'object') throw this.#state.error
  }
}

export interface OpenTurnEvents {
  /** Somebody wants it to be stopped. Settles when that was asked. */
  onCancel: () => Promise<void>
  /** It has ended, as far as this client will ever know. */
  onDone: () => void
}

export interface TurnAbout {
  id: string
  agentId: string
  sessionId: string
  message: string
  metadata?: Readonly<Record<string, unknown>> | undefined
}
