import { setImmediate as tick } from 'node:timers/promises'

import { WebSocket } from 'ws'

import { sseTransport } from '../../lib/client/sse/index.js'
import { ChannelClientError, createChannelClient, type ChannelClient, type ClientTurn, type TurnEvent, type WebSocketConstructor } from '../../lib/client/index.js'
import type { SessionKey } from '../../lib/protocol/session-key.js'
import { Random } from '../fuzz/random.js'
import type { ManualClock } from '../helpers/manual-clock.js'
import type { Bench } from './bench.js'
import { anyPlan, numberOf } from './client.js'
import { CLEAN, FaultProxy, type Link } from './fault-proxy.js'
import { quoted } from './feed-view.js'
import { shortened } from './report.js'

const NO_LIMIT = 1e9

/** What was read of one turn. */
export interface Reading {
  turn: ClientTurn
  sessionKey: SessionKey
  isOwn: boolean
  isStreamed: boolean
  isCancelled: boolean
  /** All pieces that were iterated. */
  text: string
  events: TurnEvent[]
  /** `undefined` until it has ended. */
  end: { finishReason: string, text: string } | { error: unknown } | undefined
}

/** Somebody who uses the package's client over a link with faults, and reads all that it gives. */
export class ChannelUser {
  readonly name: string
  readonly readings: Reading[] = []
  readonly faults: string[] = []
  readonly #bench: Bench
  readonly #keys: SessionKey[]
  readonly #random: Random
  readonly #proxy: FaultProxy
  readonly #clock: ManualClock
  readonly #follows = new Map<SessionKey, () => void>()
  #client: ChannelClient | undefined
  readonly #isSse: boolean
  #isSettling = false
  #made = 0

  constructor (bench: Bench, owner: string, index: number, keys: SessionKey[], clock: ManualClock, isSse: boolean) {
    this.name = `${owner}/${index}`
    this.#bench = bench
    this.#keys = keys
    this.#clock = clock
    this.#isSse = isSse
    this.#random = new Random(bench.seed * 1_000 + numberOf(this.name))
    this.#proxy = new FaultProxy(bench.port, bench.linkByPort, this.#random, () => { bench.report.count('cuts') })
  }

  async start (): Promise<void> {
    const random = this.#random
    const url = `ws://127.0.0.1:${await this.#proxy.listen()}/api/v1/ws`
    this.#client = createChannelClient({
      url,
      WebSocket: this.#isSse ? this.#sseClass() : this.#socketClass(),
      fetch: async () => { throw new Error('nobody says why') },
      clock: this.#clock,
      random: () => random.below(1_000) / 1_000,
      minBackOffMs: 20,
      maxBackOffMs: 300,
      connectTimeoutMs: 20_000,
      heartbeatMs: random.pick([400, NO_LIMIT]),
      pongTimeoutMs: 3_000,
      answerTimeoutMs: NO_LIMIT,
      turnPatienceMs: NO_LIMIT,
      resendWindowMs: NO_LIMIT
    })
    this.#client.on('error', (error) => { this.faults.push(`told ${String(error)}`) })
  }

  get client (): ChannelClient {
    if (this.#client === undefined) throw new Error('not started')
    return this.#client
  }

  get isQuiet (): boolean {
    return this.#client?.state === 'open' && this.readings.every(({ end }) => end !== undefined)
  }

  describe (): string {
    const open = this.readings.filter(({ end }) => end === undefined).map(({ turn, isOwn, text, events, sessionKey }) => {
      const real = this.#bench.truth.session(sessionKey).turns.get(turn.id)
      return `${isOwn ? 'own' : 'other'} ${turn.id} '${turn.message}', ${events.length} events, ${text.length} long, ${quoted(real?.end)}`
    })
    return `${this.name} is ${this.#client?.state ?? 'nowhere'}, waits for ${open.join(', ')}`
  }

  async act (steps: number): Promise<void> {
    const { isOver } = this.#bench
    const random = this.#random
    const actions = [
      this.#chat, this.#chat, this.#chat, this.#chat, this.#chat, this.#follow, this.#follow, this.#unfollow, this.#cancel, this.#cancelAll,
      this.#abort, this.#history, this.#cut, this.#freeze, this.#wake
    ]
    for (let step = 0; step < steps && !isOver(); step++) {
      const [first, ...rest] = actions
      if (first !== undefined) random.pick([first, ...rest]).call(this)
      for (let left = random.pick([0, 0, 1, 3, 8, 20, 60]); left > 0; left--) await tick()
    }
  }

  /** From now on the links are good. */
  settle (): void {
    this.#isSettling = true
    this.#proxy.plan = CLEAN
    this.hurry()
    if (this.#random.perMille(500)) for (const link of this.#proxy.links) link.destroy()
  }

  /** What was told of the links before it had settled may still break. */
  hurry (): void {
    for (const link of this.#proxy.links) link.hurry()
  }

  close (): void {
    this.#client?.close()
    this.#proxy.close()
  }

  /** A WebSocket as the client wants it, over a link that breaks. */
  #socketClass () {
    const owner = this.#owner
    const plan = (): void => { this.#planLink() }
    const note = (what: string, text: string): void => { this.#note(what, text) }
    return class extends WebSocket {
      constructor (url: string, protocols: string[]) {
        plan()
        super(url, protocols, { headers: { 'x-owner': owner }, perMessageDeflate: false })
        this.on('message', (data: Buffer) => { note('<', data.toString()) })
        this.on('close', (code) => { note('closed', String(code)) })
      }

      override send (data: string): void {
        note('>', data)
        super.send(data)
      }
    }
  }

  /** The same over HTTP: any request may come to a link of its own. */
  #sseClass (): WebSocketConstructor {
    const note = (what: string, text: string): void => { this.#note(what, text) }
    const transport = sseTransport({
      clock: this.#clock,
      answerTimeoutMs: 20_000,
      fetch: async (input, init) => {
        this.#planLink()
        const headers = new Headers(init?.headers)
        headers.set('x-owner', this.#owner)
        return await fetch(input, { ...init, headers })
      }
    })
    return class extends transport {
      constructor (url: string, protocols: string[]) {
        super(url, protocols)
        this.addEventListener('message', (event) => { note('<', (event as { data: string }).data) })
        this.addEventListener('close', (event) => { note('closed', String((event as { code: number }).code)) })
      }

      override send (data: string): void {
        note('>', data)
        super.send(data)
      }
    }
  }

  get #owner (): string { return this.name.split('/')[0] ?? '' }

  /** What becomes of the next connection. */
  #planLink (): void {
    this.#bench.report.count('connections')
    this.#proxy.plan = this.#isSettling ? CLEAN : anyPlan(this.#random, this.#bench.scenario.window)
  }

  #note (what: string, text: string): void {
    this.#bench.report.trace?.(`${this.name} ${what} ${shortened(text, 300)}`)
  }

  #key (): SessionKey {
    const [first, ...rest] = this.#keys
    if (first === undefined) throw new Error('no session')
    return this.#random.pick([first, ...rest])
  }

  #chat (): void {
    const random = this.#random
    const key = this.#key()
    const message = `${this.name} asks ${this.#made++}`
    const isStreamed = random.perMille(850)
    const turn = this.client.chat({
      agentId: key.agentId,
      sessionId: key.sessionId,
      message,
      onBusy: random.pick([undefined, undefined, 'queue', 'reject', 'interrupt'] as const),
      ...(isStreamed ? {} : { stream: false }),
      ...(random.perMille(150) ? { metadata: { by: this.name, list: [1, 'two', null] } } : {})
    })
    this.#bench.report.count('chats')
    this.#read(turn, key, true, isStreamed)
  }

  #read (turn: ClientTurn, sessionKey: SessionKey, isOwn: boolean, isStreamed: boolean): void {
    const reading: Reading = { turn, sessionKey, isOwn, isStreamed, isCancelled: false, text: '', events: [], end: undefined }
    this.readings.push(reading)
    const readText = async (): Promise<void> => { for await (const piece of turn) reading.text += piece }
    const readEvents = async (): Promise<void> => { for await (const event of turn.events) reading.events.push(event) }
    Promise.allSettled([turn.finished, readText(), readEvents()]).then(([finished, ...others]) => {
      reading.end = finished.status === 'fulfilled' ? finished.value : { error: finished.reason }
      for (const { status } of others) if (status !== finished.status) this.faults.push(`${turn.id} ended in two ways`)
    }).catch((err: unknown) => { this.faults.push(String(err)) })
  }

  #follow (): void {
    const key = this.#key()
    if (this.#follows.has(key)) return
    const { agentId, sessionId } = key
    const subscription = this.client.subscribe({ agentId, sessionId })
    this.#bench.report.count('subscribes')
    this.#follows.set(key, () => { subscription.close() })
    const read = async (): Promise<void> => {
      for await (const news of subscription) {
        if (news.type === 'gap') this.#bench.report.count('notRecovered')
        if (news.type !== 'turn' || this.readings.some(({ turn }) => turn === news.turn)) continue
        // What others say here: the messages begin with their names.
        this.#read(news.turn, key, false, true)
      }
    }
    read().catch((err: unknown) => {
      // Where few sessions fit, one may have no room to be followed.
      if (!(err instanceof ChannelClientError) || err.code !== 'RATE_LIMITED') this.faults.push(`followed ${sessionId}: ${String(err)}`)
    }).finally(() => { this.#follows.delete(key) })
  }

  #unfollow (): void {
    this.#bench.report.count('unsubscribes')
    this.#follows.get(this.#key())?.()
  }

  #open (): Reading[] {
    return this.readings.filter(({ end, isOwn }) => isOwn && end === undefined)
  }

  #cancel (): void {
    const [first, ...rest] = this.#open()
    if (first === undefined) return
    const reading = this.#random.pick([first, ...rest])
    this.#bench.report.count('cancels')
    reading.isCancelled = true
    reading.turn.cancel().catch((err: unknown) => { this.faults.push(`cancel: ${String(err)}`) })
  }

  #cancelAll (): void {
    const { agentId, sessionId } = this.#key()
    this.#bench.report.count('cancels')
    this.client.cancel({ agentId, sessionId }).then((turns) => { this.#bench.report.count('cancelled', turns.length) }, (err: unknown) => {
      this.faults.push(`cancel: ${String(err)}`)
    })
  }

  /** A chat that its caller gives up. */
  #abort (): void {
    const key = this.#key()
    const controller = new AbortController()
    const { agentId, sessionId } = key
    const turn = this.client.chat({ agentId, sessionId, message: `${this.name} asks ${this.#made++}`, signal: controller.signal })
    this.#read(turn, key, true, true)
    let left = this.#random.below(30)
    const wait = (): void => { if (left-- > 0) setImmediate(wait); else controller.abort(new Error('given up')) }
    wait()
  }

  #history (): void {
    const { agentId, sessionId } = this.#key()
    this.#bench.report.count('historyPages')
    this.client.history({ agentId, sessionId, limit: 5 }).catch((err: unknown) => { this.faults.push(`history: ${String(err)}`) })
  }

  #cut (): void {
    this.#bench.report.count('cuts')
    const isAll = this.#random.perMille(500)
    for (const link of isAll ? this.#proxy.links : this.#anyLink()) link.destroy()
  }

  /** One of those that there are. */
  #anyLink (): Link[] {
    const [first, ...rest] = this.#proxy.links
    return first === undefined ? [] : [this.#random.pick([first, ...rest])]
  }

  #freeze (): void {
    const [link] = this.#anyLink()
    if (link === undefined) return
    this.#bench.report.count('freezes')
    link.isFrozen = true
    let left = this.#random.pick([5, 30, 100, 1_000])
    const wait = (): void => { if (left-- > 0) setImmediate(wait); else link.isFrozen = false }
    wait()
  }

  #wake (): void {
    this.client.wake()
  }
}
