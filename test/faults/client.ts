import { setImmediate as tick } from 'node:timers/promises'

import { WebSocket } from 'ws'

import { sessionKeyText, type SessionKey } from '../../lib/protocol/session-key.js'
import type { Frame } from '../helpers/channel-client.js'
import { Random } from '../fuzz/random.js'
import { CLEAN, FaultProxy, type Link, type LinkPlan } from './fault-proxy.js'
import { SessionView } from './feed-view.js'
import type { Report } from './report.js'
import type { Truth } from './truth.js'
import { Wire, type Chat, type WireOwner } from './wire.js'

export interface ClientOptions {
  name: string
  owner: string
  seed: number
  port: number
  linkByPort: Map<number, Link>
  sessions: SessionKey[]
  /** All chats of the owner that have an id. */
  chats: Map<string, Chat>
  truth: Truth
  report: Report
  window: number
  /** True when something has taken too long: nobody waits any more. */
  isOver: () => boolean
}

/** One client, over all its connections: does this and that, is cut off, comes back, and goes on where it was. */
export class Client implements WireOwner {
  readonly name: string
  readonly owner: string
  readonly seed: number
  readonly truth: Truth
  readonly report: Report
  readonly chats: Map<string, Chat>
  readonly sessions = new Map<string, SessionView>()
  readonly recent: string[] = []
  readonly random: Random
  /** Sessions that it means to follow whole, as text. */
  readonly follows = new Set<string>()
  /** Messages of its plain chats that were refused. */
  readonly refused = new Set<string>()
  wire: Wire | undefined
  readonly #options: ClientOptions
  readonly #proxy: FaultProxy
  #url = ''
  #made = 0

  constructor (options: ClientOptions) {
    const { name, owner, seed, truth, report, chats, sessions, port, linkByPort } = options
    this.name = name
    this.owner = owner
    this.seed = seed
    this.truth = truth
    this.report = report
    this.chats = chats
    this.#options = options
    this.random = new Random(seed * 1_000 + numberOf(name))
    for (const key of sessions) this.sessions.set(sessionKeyText(key), new SessionView(key))
    this.#proxy = new FaultProxy(port, linkByPort, this.random, () => { report.count('cuts') })
  }

  get link (): Link | undefined { return this.#proxy.link }

  async start (): Promise<void> {
    this.#url = `ws://127.0.0.1:${await this.#proxy.listen()}/api/v1/ws`
  }

  /** The connection, made anew if there is none. `undefined`: it could not be made in time. */
  async connected (plan?: LinkPlan): Promise<Wire | undefined> {
    while ((this.wire === undefined || this.wire.isClosed) && !this.#options.isOver()) {
      this.wire = await this.#connect(plan ?? anyPlan(this.random, this.#options.window))
      if (this.wire !== undefined) this.#resume(this.wire)
    }
    return this.wire
  }

  /** An id, or a message, that no other client of any owner uses; ids are the same with both owners. */
  fresh (prefix: string): string {
    return `${prefix}-${this.name.slice(2)}-${this.#made++}`
  }

  subscribe (wire: Wire, session: SessionView, isFresh: boolean): void {
    const { key, position } = session
    const { agentId, sessionId } = key
    const text = sessionKeyText(key)
    this.follows.add(text)
    this.report.count('subscribes')
    const kind = position === undefined ? 0 : this.random.below(20)
    const from = position === undefined || kind === 0 ? {}
      : kind === 1 ? { epoch: 'another', after: position.seq }
        : kind === 2 ? { epoch: position.epoch, after: position.seq + 1_000_000 }
          : { epoch: position.epoch, after: position.seq }
    wire.request(this.fresh('r'), { kind: 'subscribe', key, isFresh, ...from }, { type: 'subscribe', agentId, sessionId, ...from })
  }

  history (wire: Wire, { key }: SessionView, limit: number, onPage: (frame: Frame) => void, before?: string): void {
    const { agentId, sessionId } = key
    this.report.count('historyPages')
    const frame = { type: 'history', agentId, sessionId, limit, ...(before === undefined ? {} : { before }) }
    wire.request(this.fresh('r'), { kind: 'history', key, onPage }, frame)
  }

  /** Chats of its own that nobody has answered, as far as it knows. */
  unanswered (wire: Wire): Chat[] {
    return [...this.chats.values()].filter(({ id, by, acks, refusals }) => by === this.name && acks + refusals === 0 && !wire.chats.has(id))
  }

  cut (): void {
    this.report.count('cuts')
    this.link?.destroy()
  }

  /** Comes back over a link without faults, or stays if there will be none. */
  async settle (): Promise<Wire | undefined> {
    this.link?.hurry()
    for (const text of this.sessions.keys()) this.follows.add(text)
    const { cutUpAfter, cutDownAfter } = this.#proxy.plan
    if (Math.min(cutUpAfter, cutDownAfter) < Infinity || this.random.perMille(400)) this.link?.destroy()
    const isClosing = (): boolean => this.wire?.isClosed === false && this.link?.isDestroyed === true
    while (isClosing() && !this.#options.isOver()) await tick()
    const wire = await this.connected(CLEAN)
    if (wire === undefined) return undefined
    for (const [text, session] of this.sessions) {
      if (wire.feeds.get(text)?.isWhole !== true && !wire.isChanging(session.key)) this.subscribe(wire, session, false)
    }
    return wire
  }

  async close (): Promise<void> {
    const { wire } = this
    if (wire !== undefined && !wire.isClosed) {
      if (this.random.perMille(500)) wire.ws.close(1000)
      else wire.ws.terminate()
      const isOpen = (): boolean => !wire.isClosed
      while (isOpen() && !this.#options.isOver()) await tick()
    }
    this.#proxy.close()
  }

  async #connect (plan: LinkPlan): Promise<Wire | undefined> {
    this.#proxy.plan = plan
    const protocols = this.random.perMille(400) ? ['agent-channel.v1'] : []
    const ws = new WebSocket(this.#url, protocols, { headers: { 'x-owner': this.owner }, perMessageDeflate: false })
    const wire = new Wire(ws, this)
    this.report.count('connections')
    const isOpen = await new Promise<boolean>((resolve) => {
      ws.once('open', () => { resolve(true) })
      ws.once('close', () => { resolve(false) })
    })
    return isOpen ? wire : undefined
  }

  /** Subscribes first, then sends again what was not acknowledged, under the same id. */
  #resume (wire: Wire): void {
    const mayFollow = this.random.perMille(850)
    for (const [text, session] of this.sessions) if (mayFollow && this.follows.has(text)) this.subscribe(wire, session, true)
    for (const chat of this.unanswered(wire)) {
      this.report.count('resent')
      wire.chat(chat)
    }
    for (const [text, { turns }] of this.sessions) {
      for (const [id, turn] of turns) {
        const chat = this.chats.get(id)
        if (turn.end !== undefined || chat === undefined || wire.chats.has(id)) continue
        if (turn.isJoined === true) turn.isWhole = false
        // The text of some comes at their end only, or from an ack; the end of others may have come with an ack, and be lost.
        const isUnfollowed = chat.by === this.name && (!this.follows.has(text) || !mayFollow)
        if (isUnfollowed || turn.isJoined === true || turn.isAgain === true) wire.chat(chat)
      }
    }
  }
}

/** A link that may break, may be slow, or neither. */
export function anyPlan (random: Random, window: number): LinkPlan {
  return {
    cutUpAfter: random.perMille(250) ? 150 + random.below(4_000) : Infinity,
    cutDownAfter: random.perMille(600) ? 100 + random.below(random.pick([1_500, 10_000, 60_000])) : Infinity,
    maxChunk: random.pick([64, 700, 5_000, 65_536, 65_536]),
    pausePerMille: random.pick([0, 20, 200, 600]),
    window
  }
}

export function numberOf (name: string): number {
  let number = 7
  for (let i = 0; i < name.length; i++) number = number * 31 + name.charCodeAt(i)
  return number
}
