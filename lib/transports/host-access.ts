import { isEventName } from '../agent/answer.js'
import type { Position } from '../journal/journal.js'
import { bodyHash } from '../protocol/body-hash.js'
import type { ChatFrame, ClientFrame } from '../protocol/client-frames.js'
import type { Decoded } from '../protocol/decode.js'
import { DEFAULT_AGENT_ID, type BusyPolicy } from '../protocol/names.js'
import type { ServerFrame } from '../protocol/server-frames.js'
import { sessionKey, type SessionKey } from '../protocol/session-key.js'
import type { Engine } from '../turns/engine.js'
import { newUuid } from '../uuid.js'
import { ChannelError } from './channel-error.js'
import { Feed } from './feed.js'
import { LOST } from './frame-source.js'

/** Names a session for the host's own code. */
export interface SessionRef {
  owner: string
  /** @default 'main' */
  agentId?: string | undefined
  sessionId: string
}

/** A chat that the host says in a session. */
export interface HostChat extends SessionRef {
  message: string
  /** Names the turn, and makes it run once: the same again is a `duplicate`. @default one made by the channel */
  id?: string | undefined
  metadata?: Record<string, unknown> | undefined
  /** `turn.context` for the executor: JSON. */
  context?: unknown
  onBusy?: BusyPolicy | undefined
}

/** What became of the host's chat; `follow` from its position to see its turn. */
export type StartedTurn =
  | { id: string, status: 'started' | 'queued', position: number, epoch: string, seq: number }
  | { id: string, status: 'duplicate' }

export interface FollowOptions {
  /** The position from which to go on: both, or none for from now on. */
  epoch?: string | undefined
  after?: number | undefined
  /** Ends the iteration. */
  signal?: AbortSignal | undefined
}

export interface HostAccessTools {
  engine: Engine
  decode: (data: Buffer) => Decoded
  maxEventBytes: number
  onFailure: (err: unknown, text: string) => void
}

/** Sessions for the host's own code: what clients can do by frames, without a socket. */
export class HostAccess {
  readonly #tools: HostAccessTools
  /** Wakes whoever follows a session. */
  readonly #wakes = new Set<() => void>()

  constructor (tools: HostAccessTools) {
    this.#tools = tools
  }

  async startTurn ({ owner, context, ...said }: HostChat): Promise<StartedTurn> {
    const { id = newUuid(), message, metadata, onBusy, agentId = DEFAULT_AGENT_ID, sessionId } = this.#chat({ ...said, type: 'chat' })
    const started = await this.#tools.engine.startOnce({
      key: this.#key({ owner, agentId, sessionId: sessionId ?? '' }),
      isNamed: true,
      turnId: id,
      message,
      metadata,
      onBusy,
      context: context === undefined ? undefined : JSON.parse(jsonOf(context, '/context')) as unknown,
      bodyHash: said.id === undefined ? undefined : bodyHash(metadata === undefined ? { message } : { message, metadata })
    }, () => {})
    if (started.accepted) {
      const { position, epoch, seq } = started
      return { id, status: position === 0 ? 'started' : 'queued', position, epoch, seq }
    }
    if (started.code === undefined) return { id, status: 'duplicate' }
    throw new ChannelError(started.code, started)
  }

  async * follow (session: SessionRef, { epoch, after, signal }: FollowOptions = {}): AsyncGenerator<ServerFrame, void, undefined> {
    const { engine, onFailure } = this.#tools
    let resume: (() => void) | undefined
    const wake = (): void => { resume?.() }
    const feed = new Feed(this.#key(session), { engine, wake, onTurnDone: wake, onFailure })
    const position = this.#position(session, epoch, after)
    signal?.addEventListener('abort', wake)
    this.#wakes.add(wake)
    try {
      const subscribed = await this.#available(feed.subscribe(position, undefined), 'a session could not be followed')
      if (subscribed === undefined) throw new ChannelError('RATE_LIMITED')
      yield subscribed
      while (signal?.aborted !== true) {
        const frame = feed.next(false)
        if (frame === LOST && engine.isDraining) return
        if (frame === LOST) throw new ChannelError('STORE_UNAVAILABLE')
        // It was made from one.
        if (frame !== undefined) yield JSON.parse(frame) as ServerFrame
        else if (engine.isDraining && feed.isIdle) return
        else await new Promise<void>((resolve) => { resume = resolve })
      }
    } finally {
      signal?.removeEventListener('abort', wake)
      this.#wakes.delete(wake)
      feed.close()
    }
  }

  /** The engine drains: whoever follows a session in which nothing runs is let go, the others once it has ended. */
  drain (): void {
    for (const wake of this.#wakes) wake()
  }

  async cancel ({ turnId, ...session }: SessionRef & { turnId?: string | undefined }): Promise<string[]> {
    const { engine } = this.#tools
    return await this.#available(engine.cancel(this.#key(session), true, turnId), 'turns could not be cancelled')
  }

  async publish (session: SessionRef, name: string, data: unknown): Promise<Position> {
    const { engine, maxEventBytes } = this.#tools
    const json = jsonOf(data, '/data')
    if (!isEventName(name)) throw invalid('/name', 'expected a string of 1 to 128 characters other than `turn-started`')
    if (Buffer.byteLength(json) > maxEventBytes) throw invalid('/data', `at most ${maxEventBytes} bytes of JSON (maxEventBytes)`)
    return await this.#available(engine.publish(this.#key(session), name, json), 'an event could not be published')
  }

  /** A journal's own failure is for the log: it may say where the journal is, and how to get in. */
  async #available<T> (asked: Promise<T>, failure: string): Promise<T> {
    try {
      return await asked
    } catch (err) {
      this.#tools.onFailure(err, failure)
      throw new ChannelError('STORE_UNAVAILABLE')
    }
  }

  #chat (frame: object): ChatFrame {
    // What is read has the type that it was given.
    return this.#read(frame) as ChatFrame
  }

  #position ({ agentId, sessionId }: SessionRef, epoch: string | undefined, after: number | undefined): Position | undefined {
    this.#read({ type: 'subscribe', agentId, sessionId, epoch, after })
    return epoch === undefined || after === undefined ? undefined : { epoch, seq: after }
  }

  /** The same names as in frames: what no client could name nobody could follow. */
  #key ({ owner, agentId = DEFAULT_AGENT_ID, sessionId }: SessionRef): SessionKey {
    if (typeof owner !== 'string' || owner === '') throw invalid('/owner', 'expected a string that is not empty')
    this.#read({ type: 'subscribe', agentId, sessionId })
    return sessionKey(owner, agentId, sessionId)
  }

  /** What the host says has the same limits as what clients say. */
  #read (frame: object): ClientFrame {
    const decoded = this.#tools.decode(Buffer.from(jsonOf(frame, '')))
    if (decoded.ok && 'frame' in decoded) return decoded.frame
    if ('refusal' in decoded) throw new ChannelError(decoded.refusal.code, decoded.refusal)
    throw invalid('', 'larger than `maxPayload`')
  }
}

/** @throws ChannelError when it is no JSON */
function jsonOf (value: unknown, path: string): string {
  try {
    // JSON has no word for `undefined`, a function or a symbol.
    return JSON.stringify([value]).slice(1, -1)
  } catch {
    throw invalid(path, 'expected what JSON can say')
  }
}

function invalid (path: string, rule: string): ChannelError {
  return new ChannelError('VALIDATION_FAILED', { details: { path, rule } })
}
