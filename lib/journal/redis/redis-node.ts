import { randomUUID } from 'node:crypto'
import { emitWarning } from 'node:process'

import { systemClock, type Clock } from '../../clock.js'
import type { SessionKey } from '../../protocol/session-key.js'
import type { RedisClient, RedisSubscriber } from '../../redis/redis-client.js'
import { RedisLink } from '../../redis/redis-link.js'
import { redisSubscriber } from '../../redis/redis-subscriber.js'
import type { JournalNews, JournalWatcher, StoredChat, TurnEnd } from '../journal.js'
import { decodeKept, encodeEnded } from './redis-entries.js'
import type { redisBounds, RedisJournalOptions } from './redis-journal-options.js'
import { RedisKeys, type SessionPlace } from './redis-keys.js'
import { RedisLanes } from './redis-lanes.js'
import { isSaidByPeer, RedisPeers, type Answer, type Question } from './redis-peers.js'
import { RedisReplicas } from './redis-replicas.js'
import { RedisRun, spoken } from './redis-run.js'
import { RedisRuns } from './redis-runs.js'
import { RedisScriptRunner } from './redis-script-runner.js'
import { redisScripts, type ScriptName } from './redis-scripts.js'
import { RedisSweep } from './redis-sweep.js'

/**
 * Into so many parts the slots of a cluster are divided: what is looked after together. Where two nodes of the cluster share a part, one
 * of them that is away holds up the other's sessions of that part.
 */
const CLUSTER_PARTS = 64
/** The journal's id is asked for so often, in milliseconds: it must not expire while there are nodes, and may have been flushed. */
const IDENTIFY_MS = 30_000
/** What Redis did not take, and what may be sent again, is sent again after so long, in milliseconds. */
const RETRY_MS = 100

/** What one node has of a journal in Redis: connections, runs, replicas, and what it hears. */
export class RedisNode {
  readonly nodeId = randomUUID()
  readonly keys: RedisKeys
  readonly replicas: RedisReplicas
  readonly runs: RedisRuns
  readonly peers: RedisPeers
  readonly sweep: RedisSweep
  readonly ready: Promise<void>
  /** Not known until Redis has said it: then nobody is told that something was kept that may be gone. */
  id: string = randomUUID()
  readonly #bounds: ReturnType<typeof redisBounds>
  readonly #clock: Clock
  readonly #link: RedisLink
  readonly #subscriber: RedisSubscriber
  readonly #runner: RedisScriptRunner
  readonly #lanes = new RedisLanes()
  readonly #isSharded: boolean
  /** Chats that were offered by this node and wait, as far as it knows. */
  readonly #offered = new Map<string, Map<string, StoredChat>>()
  readonly #watchers = new Set<JournalWatcher>()
  readonly #onWarning: (message: string) => void
  #markReady: (() => void) | undefined
  readonly #stopIdentifying: () => void
  #isGreeting = false
  #isWarned = false
  #isToldOfOthers = false
  #isClosed = false

  constructor (client: RedisClient, options: RedisJournalOptions, bounds: ReturnType<typeof redisBounds>) {
    const clock = this.#clock = options.clock ?? systemClock
    const { leaseMs, sweepMs, maxEntries, maxBytes, maxAgeMs, commandTimeoutMs, connectTimeoutMs, journalGraceMs } = bounds
    const link = this.#link = new RedisLink('a Redis journal', client, { commandTimeoutMs })
    const { isCluster } = link
    const isSharded = this.#isSharded = options.sharded ?? isCluster
    this.#bounds = bounds
    this.#onWarning = options.onWarning ?? emitWarning
    this.ready = new Promise((resolve) => { this.#markReady = resolve })
    const keys = this.keys = new RedisKeys(options.prefix, isCluster ? CLUSTER_PARTS : 1)
    const scripts = redisScripts({ ...bounds, idleMs: maxAgeMs, isSharded })
    const runner = this.#runner = new RedisScriptRunner(link, scripts, clock, (key) => keys.partOf(key))
    const subscriber = this.#subscriber = redisSubscriber(client, {
      isSharded, connectTimeoutMs, onMessage: (channel, text) => { this.#hear(channel, text) }, onConnected: () => { this.#greet() }
    })
    const onLeft = (place: SessionPlace): Promise<boolean> => this.onLeft(place)
    const onLost: ConstructorParameters<typeof RedisRuns>[0]['onLost'] = ({ key, chat }, code) => {
      this.#tell({ kind: 'lost', key, turnId: chat.turnId, code })
    }
    const checkMs = Math.max(50, Math.min(10_000, maxAgeMs / 3))
    this.replicas = new RedisReplicas({
      subscriber, timeoutMs: connectTimeoutMs, runner, clock, limits: { maxEntries, maxBytes, forgetsRead: false }, checkMs, onLeft
    })
    this.runs = new RedisRuns({ runner, clock, leaseMs, graceMs: journalGraceMs, onLost })
    this.peers = new RedisPeers({
      channel: this.keys.node(this.nodeId),
      clock,
      publish: (channel, text) => this.#publish(channel, text),
      answer: (asked) => this.#answer(asked)
    })
    this.#stopIdentifying = clock.every(Math.min(IDENTIFY_MS, bounds.liveMs), () => {
      this.#identify().catch(() => {
        // The next time, or at the next connection.
      })
    })
    const onFree = (key: SessionKey): boolean => this.#tell({ kind: 'free', key })
    this.sweep = new RedisSweep({ keys, runner, clock, leaseMs, sweepMs, onFree, onLeft })
  }

  /** A node that has been cut off itself cannot say of another that it is. */
  mayTakeOver ({ base }: SessionPlace): boolean { return this.#runner.answersForMs(base) >= this.#bounds.leaseMs }

  get isCluster (): boolean { return this.#link.isCluster }

  now (): number { return this.#clock.now() }

  /** As far as this node knows, nothing runs or waits in the session; and who reads it hears of it. */
  seemsFree ({ base }: SessionPlace): boolean {
    const log = this.replicas.find(base)?.log
    return this.#subscriber.isReady() && log?.running === undefined && (log?.queue.length ?? 0) === 0
  }

  watch (onNews: JournalWatcher): () => void {
    this.#watchers.add(onNews)
    return () => { this.#watchers.delete(onNews) }
  }

  inLane<T> (key: SessionKey, task: (place: SessionPlace) => Promise<T>): Promise<T> {
    const place = this.keys.session(key)
    return this.#inLane(place.base, place, task)
  }

  /** Appends go beside all else, in their own order: a reader whose subscription takes its time keeps no turn from being written. */
  inAppendLane<T> (place: SessionPlace, task: (place: SessionPlace) => Promise<T>): Promise<T> {
    return this.#inLane(`${place.base} appends`, place, task)
  }

  run (name: ScriptName, { base, claims }: SessionPlace, args: ReadonlyArray<string | number>): Promise<unknown> {
    return this.#runner.run(name, [base, claims], args)
  }

  /** Tries again, for so long, what does no harm when it is done twice. */
  async persist<T> (task: () => Promise<T>, forMs: number): Promise<T> {
    const until = this.now() + forMs
    for (;;) {
      try {
        return await task()
      } catch (err) {
        if (this.#isClosed || this.now() + RETRY_MS > until) throw err
        await new Promise<void>((resolve) => { this.#clock.after(RETRY_MS, resolve) })
      }
    }
  }

  begin (
    place: SessionPlace, chat: string, right: [epoch: string, fence: string, seen: number], onStop: () => boolean, askedAt: number, said = ''
  ): RedisRun {
    const run = new RedisRun(place, JSON.parse(chat) as StoredChat, right, onStop, askedAt, spoken(decodeKept(said)))
    this.runs.add(run)
    return run
  }

  /** This node has offered a chat, which waits. */
  addOffered ({ base }: SessionPlace, chat: StoredChat): void {
    const offered = this.#offered.get(base)
    if (offered === undefined) this.#offered.set(base, new Map([[chat.turnId, chat]]))
    else offered.set(chat.turnId, chat)
  }

  /**
   * It waits no longer, as far as this node is concerned.
   * @param chat only this one of that id
   */
  dropOffered ({ base }: SessionPlace, turnId: string, chat?: StoredChat): void {
    const offered = this.#offered.get(base)
    if (chat !== undefined && offered?.get(turnId)?.acceptedAt !== chat.acceptedAt) return
    if (offered?.delete(turnId) === true && offered.size === 0) this.#offered.delete(base)
  }

  /** These wait in the session: what this node has offered and is not among them was taken or ended by another. */
  passOver (place: SessionPlace, waiting: readonly string[]): void {
    for (const turnId of this.#offered.get(place.base)?.keys() ?? []) {
      if (waiting.includes(turnId)) continue
      this.dropOffered(place, turnId)
      this.#tell({ kind: 'gone', key: place.key, turnId })
    }
  }

  /**
   * Asks whoever runs a turn to stop, and ends the turn of one that does not answer.
   * @returns its id, if it is stopped
   */
  async stop (place: SessionPlace, [nodeId, turnId, fence]: RunnerAnswer, end: TurnEnd): Promise<string | undefined> {
    if (nodeId === undefined || turnId === undefined || fence === undefined) return undefined
    const own = this.runs.find(place.base)
    if (own?.fence === fence) return own.onStop() ? turnId : undefined
    const question: Question = { ask: 'stop', base: place.base, fence }
    const [willStop] = nodeId === this.nodeId ? [] : await this.peers.ask(this.keys.node(nodeId), question, this.#bounds.stopTimeoutMs, 1)
    if (willStop !== undefined) return willStop === true ? turnId : undefined
    const settled = await this.run('settle', place, [fence, JSON.stringify(end), encodeEnded(end)]) as [0] | [1, number, string, string]
    if (settled[0] === 0) return undefined
    const [, waiting, chat, said] = settled
    if (waiting > 0) await this.freed(place)
    const { key } = place
    const news = { kind: 'stopped', key, chat: JSON.parse(chat) as StoredChat, ...spoken(decodeKept(said)) } as const
    await Promise.all([...this.#watchers].map((watcher) => watcher(news)))
    return turnId
  }

  /** @returns whether this node does something about it */
  async onLeft (place: SessionPlace): Promise<boolean> {
    return this.mayTakeOver(place) && await this.tellLater({ kind: 'left', key: place.key })
  }

  /** Chats wait, and nobody has the right to run any more: this node may take it, or else any other soon. */
  async freed (place: SessionPlace): Promise<void> {
    void this.tellLater({ kind: 'free', key: place.key })
    await this.sweep.add(place, 0)
  }

  /** Whoever is told may ask for the session at once: not before what goes on in it is done. */
  tellLater (news: JournalNews): Promise<boolean> {
    return new Promise((resolve) => { setImmediate(() => { resolve(this.#tell(news)) }) })
  }

  close (): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#stopIdentifying()
    this.sweep.close()
    this.runs.close()
    this.replicas.close()
    this.#link.close()
    this.#subscriber.close()
    this.#watchers.clear()
    this.#offered.clear()
  }

  #inLane<T> (lane: string, place: SessionPlace, task: (place: SessionPlace) => Promise<T>): Promise<T> {
    return this.#lanes.run(lane, async () => {
      if (this.#isClosed) throw new Error('the journal is closed')
      return await task(place)
    })
  }

  #tell (news: JournalNews): boolean {
    return [...this.#watchers].map((watcher) => watcher(news)).some((answer) => answer !== false)
  }

  #hear (channel: string, text: string): void {
    const isUnderstood = isSaidByPeer(text) ? this.peers.hear(text) : this.replicas.take(channel, text)
    if (isUnderstood || this.#isToldOfOthers) return
    this.#isToldOfOthers = true
    this.#onWarning(`what came on the channel ${channel} of Redis is of no journal and was ignored: does anything else use its prefix?`)
  }

  async #publish (channel: string, text: string): Promise<number> {
    const heard = await this.#runner.send(channel, [this.#isSharded ? 'SPUBLISH' : 'PUBLISH', channel, text]) as number
    // A cluster tells a channel that is not sharded everywhere, but counts those alone who listen where it was told first.
    return this.#link.isCluster && !this.#isSharded ? Infinity : heard
  }

  async #answer (question: Question): Promise<Answer | undefined> {
    const { base } = question
    if (question.ask === 'stop') {
      // A right that is on its way is there when what this node has asked for is done.
      const run = this.runs.find(base) ?? await this.#lanes.run(base, async () => this.runs.find(base))
      return run?.fence === question.fence ? run.onStop() : undefined
    }
    return this.replicas.find(base)?.log.readersOf(question.turnId) ?? 0
  }

  /** At each connection: what was missed is read, leases are renewed. */
  #greet (): void {
    // In a cluster it may be one of many, and those that are well are not to wait for it: what is asked of each tells.
    if (!this.#link.isCluster) this.#runner.interrupted()
    this.replicas.resync()
    this.runs.renewAll()
    if (this.#isGreeting) return
    this.#isGreeting = true
    this.persist(() => this.#introduce(), Infinity).then(() => this.#markReady?.(), () => {
      // It is closed.
    }).finally(() => { this.#isGreeting = false })
  }

  async #introduce (): Promise<void> {
    const heard = this.#subscriber.subscribe(this.keys.node(this.nodeId))
    await this.#runner.inTime(this.#bounds.connectTimeoutMs, 'a subscription', heard)
    await this.#identify()
    if (!this.#isWarned) await this.#warn()
  }

  async #identify (): Promise<void> {
    this.id = await this.#runner.run('identify', [this.keys.id], [randomUUID()]) as string
  }

  async #warn (): Promise<void> {
    const setting = await this.#runner.send(this.keys.id, ['CONFIG', 'GET', 'maxmemory-policy']).catch(() => {
      // Not everybody may read it.
    })
    // A list, or by the newer protocol of Redis an object.
    const policy = typeof setting === 'object' && setting !== null ? Object.values(setting as Record<string, unknown>).at(-1) : undefined
    this.#isWarned = true
    if (typeof policy !== 'string' || policy === 'noeviction') return
    this.#onWarning(`Redis drops what the journal keeps when its memory is full (maxmemory-policy ${policy}): set it to noeviction`)
  }
}

/** Who runs a turn, as scripts tell it: node, turn, fence, and whether its lease has run out. */
export type RunnerAnswer = [nodeId?: string, turnId?: string, fence?: string, isLeft?: string]
