import { TypeCompiler, type TypeCheck } from '@sinclair/typebox/compiler'
import type { TSchema } from '@sinclair/typebox'
import { type WebSocket } from 'ws'

import { serverFrameSchemas } from '../../lib/protocol/server-frames.js'
import { sessionKeyText, type SessionKey } from '../../lib/protocol/session-key.js'
import type { Frame } from '../helpers/channel-client.js'
import { FeedView, quoted, type SentChat, type SessionView } from './feed-view.js'
import { PlainLanes } from './plain-lanes.js'
import { shortened, type Report } from './report.js'
import type { Truth } from './truth.js'

/** A tracked chat of one owner, and what its frames were answered. */
export interface Chat extends SentChat {
  key: SessionKey
  /** Who has sent it first. */
  by: string
  frame: object
  acks: number
  /** Acks that said that its turn begins, or waits: at most one. */
  starts: number
  refusals: number
  /** Frames whose answers were lost with their connection. */
  lost: number
}

/** A client, as its connections need to know it. */
export interface WireOwner {
  readonly name: string
  readonly owner: string
  readonly seed: number
  readonly truth: Truth
  readonly report: Report
  readonly chats: ReadonlyMap<string, Chat>
  readonly sessions: ReadonlyMap<string, SessionView>
  readonly recent: string[]
}

export type Request =
  | { kind: 'ping' }
  | { kind: 'cancel own' }
  | { kind: 'cancel', key: SessionKey }
  | { kind: 'subscribe', key: SessionKey, epoch?: string, after?: number, isFresh: boolean }
  | { kind: 'unsubscribe', key: SessionKey }
  | { kind: 'history', key: SessionKey, onPage: (frame: Frame) => void }

const REFUSALS: readonly unknown[] = ['SESSION_BUSY', 'QUEUE_FULL', 'RATE_LIMITED', 'ID_CONFLICT']
const RECENT = 25

const checkByType: Record<string, TypeCheck<TSchema>> = Object.fromEntries(
  Object.entries(serverFrameSchemas).map(([type, schema]) => [type, TypeCompiler.Compile(schema as TSchema)]))

/** One connection of a client, which keeps to the protocol and sees that the server does. */
export class Wire {
  readonly feeds = new Map<string, FeedView>()
  readonly requests = new Map<string, Request>()
  /** Chats by id, and how many of their frames have no answer yet. */
  readonly chats = new Map<string, number>()
  /** Ids that were sent with another body. */
  readonly conflicts = new Set<string>()
  readonly lanes: PlainLanes
  readonly ws: WebSocket
  isClosed = false
  readonly #client: WireOwner
  #frames = 0

  constructor (ws: WebSocket, client: WireOwner) {
    this.ws = ws
    this.#client = client
    this.lanes = new PlainLanes(client)
    ws.on('error', () => {})
    ws.on('message', (data: Buffer, isBinary) => {
      if (isBinary) return client.report.fault('schema', 'a binary message')
      this.#take(data.toString())
    })
    ws.once('close', (code) => { this.#end(code) })
  }

  /** Everything is answered, and told to its end. */
  get isQuiet (): boolean {
    const isAnswered = this.requests.size === 0 && this.chats.size === 0 && this.lanes.isQuiet
    return isAnswered && [...this.feeds.values()].every(({ isUpToDate }) => isUpToDate)
  }

  /** What keeps it from being quiet, for people. */
  describe (): string {
    const feeds = [...this.feeds.values()].filter(({ isUpToDate }) => !isUpToDate)
    return JSON.stringify({
      requests: [...this.requests], chats: [...this.chats], plain: this.lanes.describe(),
      feeds: feeds.map(({ session, seq, open, isWhole }) => ({ ...session.key, seq, isWhole, open: [...open] }))
    })
  }

  send (frame: object): void {
    const text = JSON.stringify(frame)
    this.#note('>', text)
    this.ws.send(text, () => {})
  }

  chat (chat: Chat): void {
    this.chats.set(chat.id, (this.chats.get(chat.id) ?? 0) + 1)
    this.send(chat.frame)
  }

  request (id: string, request: Request, frame: object): void {
    this.requests.set(id, request)
    this.send({ ...frame, id })
  }

  feed (key: SessionKey): FeedView {
    const text = sessionKeyText(key)
    let feed = this.feeds.get(text)
    if (feed === undefined) {
      const { sessions, truth, report } = this.#client
      const session = sessions.get(text)
      if (session === undefined) throw new Error(`a frame of a session that was never asked for: ${text}`)
      this.feeds.set(text, feed = new FeedView(session, truth, report))
    }
    return feed
  }

  /** Whether it is being asked to follow that session, or to stop. */
  isChanging (key: SessionKey): boolean {
    const isMeant = (request: Request): boolean => (request.kind === 'subscribe' || request.kind === 'unsubscribe') && request.key === key
    return [...this.requests.values()].some(isMeant)
  }

  #take (text: string): void {
    this.#note('<', text)
    this.#client.report.count('frames')
    const frame = JSON.parse(text) as Frame
    const check = checkByType[frame.type]
    const fault = check?.Errors(frame).First()
    if (check === undefined || fault !== undefined) return this.#fault('schema', `${fault?.path ?? '/type'} of ${quoted(frame)}`)
    if (frame.type === 'ready' && this.#frames++ > 0) return this.#fault('answers', 'ready is not the first frame')
    this.#frames++
    try {
      this.#route(frame)
    } catch (err) {
      this.#fault('owner', `${String(err)}: ${quoted(frame)}`)
    }
  }

  #route (frame: Frame): void {
    const { type, id, seq } = frame
    if (type === 'ready' || type === 'reconnect') return
    if (type === 'ack') return this.#acked(frame)
    if (typeof id === 'string' && this.requests.has(id)) return this.#answered(id, frame)
    if (type === 'subscribed') return this.#unasked(frame)
    if (typeof seq === 'number') return this.#told(frame)
    if (type === 'error' && typeof id === 'string') return this.#refused(id, frame)
    if (id === undefined && (type === 'stream' || type === 'message' || type === 'error')) return this.lanes.take(frame)
    this.#fault('answers', `nobody asked for ${quoted(frame)}`)
  }

  #told (frame: Frame): void {
    this.feed(this.#keyOf(frame)).take(frame)
    const turn = this.#client.truth.known(this.#keyOf(frame))?.turns.get(String(frame.id))
    if (turn !== undefined) this.lanes.settleFed(turn.chat.message)
  }

  #unasked (frame: Frame): void {
    this.#client.report.count('unasked')
    if (frame.id !== undefined) this.#fault('answers', `nobody asked for ${quoted(frame)}`)
    this.feed(this.#keyOf(frame)).onSubscribed(frame, undefined)
  }

  #acked (frame: Frame): void {
    const chat = this.#answerTo(String(frame.id), frame)
    if (chat === undefined) return
    if (this.conflicts.delete(chat.id)) this.#fault('answers', `acknowledged with another body: ${quoted(frame)}`)
    const { report } = this.#client
    report.count(frame.status === 'duplicate' ? 'duplicates' : 'acks')
    if (frame.status !== 'duplicate' && ++chat.starts > 1) this.#fault('once', `acknowledged before, and started again: ${quoted(frame)}`)
    chat.acks++
    this.feed(this.#keyOf(frame)).onAck(frame, chat)
  }

  #refused (id: string, frame: Frame): void {
    const chat = this.#answerTo(id, frame)
    if (chat === undefined) return
    this.#client.report.count(frame.code === 'ID_CONFLICT' ? 'conflicts' : 'refusals')
    const isConflict = this.conflicts.delete(id)
    if (!REFUSALS.includes(frame.code) || isConflict !== (frame.code === 'ID_CONFLICT') || frame.done !== undefined) {
      this.#fault('answers', `a chat was refused with ${quoted(frame)}`)
    }
    if (!isConflict) chat.refusals++
  }

  #answerTo (id: string, frame: Frame): Chat | undefined {
    const open = this.chats.get(id) ?? 0
    const chat = this.#client.chats.get(id)
    if (open === 0 || chat === undefined) {
      this.#fault('answers', `nobody waits for ${quoted(frame)}`)
      return undefined
    }
    if (open === 1) this.chats.delete(id)
    else this.chats.set(id, open - 1)
    return chat
  }

  #answered (id: string, frame: Frame): void {
    const request = this.requests.get(id)
    this.requests.delete(id)
    if (request === undefined) return
    const { type } = frame
    if (type === 'error') {
      const isAllowed = request.kind.startsWith('cancel') ? frame.code === 'TURN_NOT_FOUND' : request.kind === 'subscribe' && frame.code === 'RATE_LIMITED'
      if (!isAllowed) this.#fault('answers', `${request.kind} was answered ${quoted(frame)}`)
    } else if (request.kind === 'ping') {
      if (type !== 'pong') this.#fault('answers', `a ping was answered ${quoted(frame)}`)
    } else if (request.kind === 'cancel own') {
      if (type !== 'cancelled' || frame.sessionId !== undefined) this.#fault('answers', `a cancel was answered ${quoted(frame)}`)
    } else this.#answer(request, frame)
  }

  #answer (request: Exclude<Request, { kind: 'ping' | 'cancel own' }>, frame: Frame): void {
    const { report, truth } = this.#client
    const { key } = request
    if (frame.type !== { cancel: 'cancelled', subscribe: 'subscribed', unsubscribe: 'unsubscribed', history: 'history' }[request.kind]) {
      return this.#fault('answers', `${request.kind} was answered ${quoted(frame)}`)
    }
    switch (request.kind) {
      case 'subscribe':
        report.count(frame.recovered === true ? 'recovered' : 'notRecovered')
        return this.feed(key).onSubscribed(frame, request)
      case 'unsubscribe': return this.feed(key).onUnsubscribed()
      case 'history': return request.onPage(frame)
      case 'cancel':
        report.count('cancelled')
        for (const id of frame.turns as string[]) {
          const turn = truth.known(key)?.turns.get(id)
          if (turn === undefined) this.#fault('owner', `cancelled what nobody of this owner has begun: ${id}`)
          else turn.isCancelled = true
          if (turn?.isStopped === false) this.#fault('ends', `cancelled, and goes on: ${id}`)
        }
    }
  }

  #keyOf ({ agentId, sessionId }: Frame): SessionKey {
    return { owner: this.#client.owner, agentId: String(agentId), sessionId: String(sessionId) }
  }

  #end (code: number): void {
    this.#note('<', `closed ${code}`)
    this.isClosed = true
    const { chats, report } = this.#client
    if (code !== 1000 && code !== 1006) report.count('closedByServer')
    if (code === 1006) report.count('lostConnections')
    if (![1000, 1005, 1006, 1008].includes(code)) this.#fault('answers', `closed with ${code}`)
    for (const [id, open] of this.chats) {
      const chat = chats.get(id)
      if (chat !== undefined) chat.lost += open
    }
    this.chats.clear()
    this.requests.clear()
    this.lanes.end()
  }

  #fault (check: Parameters<Report['fault']>[0], text: string): void {
    this.#client.report.fault(check, `${this.#client.name}: ${text}`)
  }

  #note (direction: string, text: string): void {
    const line = `${this.#client.name} ${direction} ${shortened(text, 240)}`
    const { recent, report } = this.#client
    recent.push(line)
    if (recent.length > RECENT) recent.shift()
    report.trace?.(line)
  }
}
