import type { ClientFrameOf } from '../protocol/client-frames.js'
import type { ServerFrame, ServerFrameOf } from '../protocol/server-frames.js'
import { ChannelClientError, errorOf } from './client-error.js'
import { Connection, type ConnectionState } from './connection.js'
import type { HostAnswer } from './link.js'
import { Listeners } from './listeners.js'
import { OpenTurn, type ClientTurn, type TurnAbout } from './open-turn.js'
import { freshId, readOptions, type ChannelClientOptions, type Settings } from './options.js'
import { wakeWithPage } from './page.js'
import { Requests } from './requests.js'
import { isOfSession, SessionFeed, type SessionFrame } from './session-feed.js'
import type { SessionPosition, Subscription } from './subscription.js'

/** The types that a host has defined: what is sent, beside `type` and `id`, and the `data` of the answer. */
export type HostFrames = Record<string, { frame: object, reply: unknown }>

export interface SessionChoice {
  /** @default the client's */
  agentId?: string | undefined
  /** @default the client's */
  sessionId?: string | undefined
}

interface Abortable {
  signal?: AbortSignal | undefined
}

export interface ChatRequest extends SessionChoice, Pick<ClientFrameOf<'chat'>, 'message'>, Abortable {
  /** Names the turn. Under one id a chat runs once, also when another client or a reloaded page sends it again. @default a random one */
  id?: string | undefined
  metadata?: Record<string, unknown> | undefined
  /** What happens while another turn of the session runs. @default the server's option */
  onBusy?: ClientFrameOf<'chat'>['onBusy'] | undefined
  /** `false`: the text comes whole, at the end. @default true */
  stream?: boolean | undefined
}

export interface SubscribeRequest extends SessionChoice, Abortable {
  /**
   * Where the session is to go on, for a page that was loaded again: from the `ack` of a chat its whole turn is told, as
   * far as the server still holds that. It counts where this client knows nothing of the session yet.
   * @default what runs now, by its text so far
   */
  from?: SessionPosition | undefined
}

export interface HistoryRequest extends SessionChoice, Abortable {
  /** A cursor from an earlier page: what came before that. @default the newest */
  before?: ClientFrameOf<'history'>['before'] | undefined
  /** Messages, at most: 1 to 200. @default 50 */
  limit?: ClientFrameOf<'history'>['limit'] | undefined
}

export interface ClientEvents {
  state: ConnectionState
  /** What went wrong and is nobody's answer. */
  error: ChannelClientError
  /** Every `event` frame, of turns and outside of them. */
  event: ServerFrameOf<'event'>
}

/**
 * A client of one channel. It connects at once, and again whenever its connection is lost, until it is closed. `Frames`
 * are the types that the host has defined.
 */
export interface ChannelClient<Frames extends HostFrames = HostFrames> extends AsyncDisposable {
  readonly state: ConnectionState
  /** Says something: now, or as soon as there is a connection. Of what goes wrong the turn tells. */
  chat (request: ChatRequest): ClientTurn
  /** Follows a session, from whichever client its turns come. */
  subscribe (session?: SubscribeRequest): Subscription
  /** Stops a turn, or all that runs and waits in a session; resolves to the ids of what was stopped. */
  cancel (what?: SessionChoice & Abortable & { turnId?: string | undefined }): Promise<string[]>
  /** A page of what was said in a session, oldest first; with the cursor `before` of a page, the one before it. */
  history (request?: HistoryRequest): Promise<Pick<ServerFrameOf<'history'>, 'messages' | 'before'>>
  /**
   * Sends a frame of a type that the host has defined; resolves to the `data` of the answer.
   * Rejects with `OUTCOME_UNKNOWN` when the connection is lost before that: the host may have done it.
   */
  send<Type extends keyof Frames & string> (type: Type, frame: Frames[Type]['frame'], options?: Abortable): Promise<Frames[Type]['reply']>
  /** @returns a function after whose call the listener is told nothing more */
  on<Name extends keyof ClientEvents> (name: Name, listener: (news: ClientEvents[Name]) => void): () => void
  /** Looks at once whether the connection is alive, or makes it. A browser's page does so when it is seen again, or online. */
  wake (): void
  /** For good: turns and requests that are open end with `CLOSED`. Those turns go on at the server. */
  close (): void
}

/** @throws TypeError when the URL is none, and where there is no WebSocket */
export function createChannelClient<Frames extends HostFrames = HostFrames> (options: ChannelClientOptions): ChannelClient<Frames> {
  const client = new Client<Frames>(readOptions(options))
  client.open()
  return client
}

class Client<Frames extends HostFrames> implements ChannelClient<Frames> {
  readonly #settings: Settings
  readonly #connection: Connection
  readonly #requests: Requests
  readonly #feedByKey = new Map<string, SessionFeed>()
  readonly #listeners = new Listeners<ClientEvents>()
  readonly #closing = new AbortController()
  /** Why nothing can be asked any more. */
  #ended: ChannelClientError | undefined

  constructor (settings: Settings) {
    this.#settings = settings
    this.#connection = new Connection(settings, {
      onState: (state) => { this.#listeners.tell('state', state) },
      onReady: () => {
        this.#requests.onReady()
        for (const feed of this.#feeds()) feed.onReady()
      },
      onFrame: (frame) => { this.#take(frame) },
      onLost: (heard, isBlamed) => {
        this.#requests.onLost()
        for (const feed of this.#feeds()) feed.onLost(heard, isBlamed)
      },
      onTrouble: (error) => { this.#listeners.tell('error', error) },
      onEnd: (error) => {
        this.#end(error)
        this.#listeners.tell('error', error)
      }
    })
    this.#requests = new Requests({ ...settings, send: (frame) => this.#send(frame) })
    this.#whenAborted(settings.signal, () => { this.close() })
    wakeWithPage(() => { this.wake() }, this.#closing.signal)
  }

  get state (): ConnectionState { return this.#connection.state }

  open (): void {
    if (this.state !== 'closed') this.#connection.open()
  }

  chat ({ id = freshId(), message, metadata, onBusy, stream, signal, ...session }: ChatRequest): ClientTurn {
    const about = { id, message, metadata, ...this.#chosen(session) }
    const failed = this.#ended ?? (signal?.aborted === true ? signal.reason as unknown : undefined)
    if (failed !== undefined) return failedTurn(about, failed)
    const feed = this.#feed(session)
    const known = feed.own(id)
    if (known !== undefined) return known.message === message ? known : failedTurn(about, new ChannelClientError('ID_CONFLICT'))
    const turn = feed.chat({ id, message, metadata }, { onBusy, stream })
    const forget = this.#whenAborted(signal, () => { feed.abort(turn, signal?.reason).catch((err: unknown) => { this.#report(err) }) })
    turn.finished.then(forget, forget)
    return turn
  }

  subscribe ({ signal, from, ...session }: SubscribeRequest = {}): Subscription {
    const feed = this.#feed(session)
    const subscription = feed.subscribe(from)
    if (this.#ended !== undefined) feed.close(this.#ended)
    this.#whenAborted(signal, () => { subscription.close() })
    return subscription
  }

  async cancel ({ turnId, signal, ...session }: SessionChoice & Abortable & { turnId?: string | undefined } = {}): Promise<string[]> {
    const chosen = this.#chosen(session)
    const unsent = this.#feedByKey.get(keyOf(chosen))?.cancel(turnId) ?? []
    if (turnId !== undefined && unsent.length > 0) return unsent
    return [...unsent, ...await this.#cancel({ turnId, ...chosen }, signal)]
  }

  async history ({ before, limit, signal, ...session }: HistoryRequest = {}): Promise<Pick<ServerFrameOf<'history'>, 'messages' | 'before'>> {
    const frame = { type: 'history', ...this.#chosen(session), before, limit }
    return await this.#ask(frame, signal, true) as ServerFrameOf<'history'>
  }

  async send<Type extends keyof Frames & string> (
    type: Type, frame: Frames[Type]['frame'], { signal }: Abortable = {}
  ): Promise<Frames[Type]['reply']> {
    return (await this.#ask({ ...frame, type }, signal, false) as HostAnswer).data
  }

  on<Name extends keyof ClientEvents> (name: Name, listener: (news: ClientEvents[Name]) => void): () => void {
    return this.#listeners.on(name, listener)
  }

  wake (): void {
    this.#connection.wake()
  }

  close (): void {
    this.#connection.close()
    this.#end(new ChannelClientError('CLOSED'))
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.close()
  }

  #end (error: ChannelClientError): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    this.#closing.abort()
    this.#requests.close(error)
    for (const feed of this.#feeds()) feed.close(error)
  }

  #take (frame: ServerFrame): void {
    if (frame.type === 'event') this.#listeners.tell('event', frame)
    // What has both is one of those.
    if (isOfSession(frame)) return this.#feedByKey.get(keyOf(frame as SessionFrame))?.take(frame as SessionFrame)
    if (this.#requests.take(frame) || frame.type !== 'error' || this.#feeds().some((feed) => feed.takeRefusal(frame))) return
    // Else it answers what nobody waits for any more.
    if (frame.id === undefined) this.#report(errorOf(frame))
  }

  async #cancel (what: { turnId: string | undefined, agentId: string, sessionId: string }, signal?: AbortSignal): Promise<string[]> {
    try {
      return (await this.#ask({ type: 'cancel', ...what }, signal, true) as ServerFrameOf<'cancelled'>).turns
    } catch (err) {
      if (err instanceof ChannelClientError && err.code === 'TURN_NOT_FOUND') return []
      throw err
    }
  }

  #ask (frame: { type: string }, signal: AbortSignal | undefined, isRepeatable: boolean): Promise<ServerFrame | HostAnswer> {
    const answer = this.#requests.ask(frame, { isRepeatable, signal })
    if (this.#ended !== undefined) this.#requests.close(this.#ended)
    return answer
  }

  #send (frame: object): boolean {
    const { ready } = this.#connection
    if (ready === undefined) return false
    const text = JSON.stringify(frame)
    if (text.length * 3 > ready.maxPayload && new TextEncoder().encode(text).length > ready.maxPayload) throw new ChannelClientError('TOO_BIG')
    this.#connection.send(text)
    return true
  }

  #feed (session: SessionChoice): SessionFeed {
    const chosen = this.#chosen(session)
    const key = keyOf(chosen)
    let feed = this.#feedByKey.get(key)
    if (feed === undefined) {
      feed = new SessionFeed(chosen.agentId, chosen.sessionId, {
        ...this.#settings,
        send: (frame) => this.#send(frame),
        journal: () => this.#connection.ready?.journal,
        cancel: async ({ id, agentId, sessionId }) => { await this.#cancel({ turnId: id, agentId, sessionId }) },
        onIdle: (feed) => { if (this.#feedByKey.get(key) === feed) this.#feedByKey.delete(key) }
      })
      this.#feedByKey.set(key, feed)
    }
    return feed
  }

  #feeds (): SessionFeed[] {
    return [...this.#feedByKey.values()]
  }

  #chosen ({ agentId, sessionId }: SessionChoice): { agentId: string, sessionId: string } {
    return { agentId: agentId ?? this.#settings.agentId, sessionId: sessionId ?? this.#settings.sessionId }
  }

  #report (err: unknown): void {
    // Whatever rejects here does so with an error of this client's.
    this.#listeners.tell('error', err as ChannelClientError)
  }

  /** @returns a function after whose call the signal is no longer heard */
  #whenAborted (signal: AbortSignal | undefined, task: () => void): () => void {
    if (signal?.aborted === true) task()
    signal?.addEventListener('abort', task, { once: true, signal: this.#closing.signal })
    return () => { signal?.removeEventListener('abort', task) }
  }
}

/** A turn that will not be: nothing was sent. */
function failedTurn (about: TurnAbout, error: unknown): ClientTurn {
  const turn = new OpenTurn(about)
  turn.fail(error)
  return turn
}

function keyOf ({ agentId, sessionId }: { agentId?: string | undefined, sessionId?: string | undefined }): string {
  return JSON.stringify([agentId, sessionId])
}
