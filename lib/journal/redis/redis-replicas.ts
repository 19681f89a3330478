import type { SessionLogLimits } from '../session-log.js'
import type { StoredChat } from '../journal.js'
import type { Clock } from '../../clock.js'
import type { RedisSubscriber } from '../../redis/redis-client.js'
import { newUuid } from '../../uuid.js'
import { decodeMessage, type Message } from './redis-entries.js'
import type { SessionPlace } from './redis-keys.js'
import { newSession, RedisReplica, type AcceptedAt, type Snapshot } from './redis-replica.js'
import type { RedisScriptRunner } from './redis-script-runner.js'

export interface RedisReplicasTools {
  subscriber: RedisSubscriber
  /** How long a subscription may take, in milliseconds. */
  timeoutMs: number
  runner: RedisScriptRunner
  clock: Clock
  limits: SessionLogLimits
  /** How often a session that is read is looked after, in milliseconds. */
  checkMs: number
  /** The session's run has a lease that has run out. */
  onLeft: (place: SessionPlace) => unknown
}

/** A replica that nobody reads is kept for so long: somebody may come back. */
const LINGER_MS = 5_000
/** What is published while a snapshot is on its way; more than that is asked for again. */
const MAX_PENDING = 1_000
/** So long a publication may take that was overtaken by an answer, in milliseconds. */
const PUBLICATION_MS = 100
/** A snapshot that could not be had is asked for again after so long, in milliseconds. */
const RETRY_MS = 200

/** The sessions that are read on this node, each by one subscription. */
export class RedisReplicas {
  readonly #tools: RedisReplicasTools
  readonly #entryByBase = new Map<string, ReplicaEntry>()
  /** Subscriptions that are being given up: one of the same name has to wait. */
  readonly #leaving = new Map<string, Promise<unknown>>()
  readonly #stopCheck: () => void
  #isClosed = false

  constructor (tools: RedisReplicasTools) {
    this.#tools = tools
    this.#stopCheck = tools.clock.every(tools.checkMs, () => { this.#check() })
  }

  get all (): RedisReplica[] {
    return [...this.#entryByBase.values()].flatMap(({ replica }) => replica ?? [])
  }

  find (base: string): RedisReplica | undefined {
    return this.#entryByBase.get(base)?.replica
  }

  /**
   * The session as it is now, or a moment later.
   * @param make whether to make the session if there is none
   */
  async open (place: SessionPlace, make: boolean): Promise<RedisReplica | undefined> {
    const entry = this.#entryOf(place)
    entry.opening++
    try {
      await this.#subscribed(entry)
      if (!this.#hasAccepted(entry)) await this.#read(entry, make)
    } finally {
      entry.opening--
    }
    if (this.#isClosed) entry.replica?.forget()
    return entry.replica
  }

  /**
   * Subscribes to a session that is about to be opened, while a chat is offered to it: whoever then reads its turn need not
   * ask for what was published since.
   * @param offer what Redis answers, and whether it has made the session
   */
  async prepare<T> (place: SessionPlace, offer: () => Promise<T>, accepted: (answer: T) => AcceptedAt | undefined): Promise<T> {
    const entry = this.#entryOf(place)
    entry.opening++
    this.#subscribed(entry).catch(() => {
      // Whoever opens it tries again.
    })
    try {
      const answer = await offer()
      const at = accepted(answer)
      if (at === undefined) return answer
      // That, and what was published since, come over another connection, most often in the same run of the event loop.
      const isThere = entry.isSubscribed && (at.isNew ? at.through === at.version : entry.replica?.hasSeen(at) === true)
      if (!isThere) await new Promise((resolve) => { setImmediate(resolve) })
      if (entry.isSubscribed) this.#accepted(entry, at)
      return answer
    } finally {
      entry.opening--
    }
  }

  #accepted (entry: ReplicaEntry, at: AcceptedAt): void {
    if (at.isNew && entry.replica === undefined) this.#adopt(entry, newSession(at))
    entry.acceptedAt = at
    setImmediate(() => { if (entry.acceptedAt === at) entry.acceptedAt = undefined })
  }

  /** What was accepted here just now has been heard of, and is what is to be read: later more may have been missed. */
  #hasAccepted (entry: ReplicaEntry): boolean {
    const { acceptedAt, replica } = entry
    return acceptedAt !== undefined && replica?.hasSeen(acceptedAt) === true
  }

  #entryOf (place: SessionPlace): ReplicaEntry {
    let entry = this.#entryByBase.get(place.base)
    if (entry === undefined) {
      entry = {
        place,
        replica: undefined,
        pending: [],
        subscribed: this.#subscribe(place.base),
        isSubscribed: false,
        opening: 0,
        acceptedAt: undefined,
        idleSince: undefined,
        isResyncing: false,
        asksAgain: false
      }
      this.#entryByBase.set(place.base, entry)
    }
    entry.idleSince = undefined
    return entry
  }

  async #subscribed (entry: ReplicaEntry): Promise<void> {
    try {
      await entry.subscribed
      entry.isSubscribed = true
    } catch (err) {
      if (this.#entryByBase.get(entry.place.base) === entry) this.#entryByBase.delete(entry.place.base)
      throw err
    }
  }

  /** @returns whether it is a message, or nobody wants to know */
  take (channel: string, text: string): boolean {
    const entry = this.#entryByBase.get(channel)
    if (entry === undefined) return true
    let message: Message
    try {
      message = decodeMessage(text)
    } catch {
      return false
    }
    this.#takeMessage(entry, message)
    return true
  }

  #takeMessage (entry: ReplicaEntry, message: Message): void {
    const { replica } = entry
    const isNext = replica !== undefined && message.epoch === replica.log.epoch && replica.apply(message)
    if (isNext) return this.#forgetIfGone(entry)
    // Nobody is reading it yet: whoever does will find it there.
    if (replica === undefined && entry.opening === 0) return
    entry.pending.push(message)
    if (entry.pending.length > MAX_PENDING) entry.pending.shift()
    if (replica !== undefined) this.#resync(entry)
  }

  /** What was published meanwhile was missed. */
  resync (): void {
    for (const entry of this.#entryByBase.values()) if (entry.replica !== undefined) this.#resync(entry)
  }

  close (): void {
    this.#isClosed = true
    this.#stopCheck()
    for (const { replica } of this.#entryByBase.values()) replica?.forget()
    this.#entryByBase.clear()
  }

  async #subscribe (channel: string): Promise<void> {
    await this.#leaving.get(channel)
    const { runner, subscriber, timeoutMs } = this.#tools
    const sent = subscriber.subscribe(channel)
    try {
      await runner.inTime(timeoutMs, 'a subscription', sent)
    } catch (err) {
      sent.then(() => { this.#leaveIfUnwanted(channel) }, () => {
        // There is none to leave.
      })
      throw err
    }
  }

  /** It was had when nobody waited for it any more; somebody else may. */
  #leaveIfUnwanted (channel: string): void {
    if (!this.#isClosed && !this.#entryByBase.has(channel)) this.#unsubscribe(channel)
  }

  async #read (entry: ReplicaEntry, make: boolean): Promise<void> {
    const { place } = entry
    const known = entry.replica
    // What was published before is in the answer; what is not was lost by a Redis that fell back, and another is in its place.
    entry.pending = []
    const answer = await this.#tools.runner.run('read', [place.base, place.claims], [
      newUuid(), place.text, make ? 1 : 0, known?.log.epoch ?? '', known?.log.ring.top ?? 0, known?.version ?? 0
    ])
    const read = readAnswer(answer)
    if (read === undefined) {
      entry.replica?.forget()
      return this.#forgetIfGone(entry)
    }
    if (entry.replica?.isOutlivedBy(read.snapshot) === true) {
      // What was asked for is only what follows: all of it is needed.
      entry.replica.forget()
      entry.replica = undefined
      return await this.#read(entry, make)
    }
    this.#adopt(entry, read.snapshot)
    if (read.isLeft) this.#tools.onLeft(place)
  }

  #adopt (entry: ReplicaEntry, snapshot: Snapshot): void {
    const { replica, place } = entry
    const isSame = replica !== undefined && replica.log.epoch === snapshot.epoch
    if (isSame && (snapshot.isMore || snapshot.version <= replica.version)) {
      replica.take(snapshot)
    } else {
      replica?.forget()
      entry.replica = new RedisReplica(place, snapshot, this.#tools.limits, () => this.#tools.clock.now())
    }
    const pending = entry.pending.splice(0).sort((one, other) => one.version - other.version)
    for (const message of pending) {
      if (entry.replica?.log.epoch !== message.epoch || entry.replica.apply(message)) continue
      // Something between is missing still: that, and what follows it, is read again.
      return this.#resync(entry)
    }
    this.#forgetIfGone(entry)
  }

  #forgetIfGone (entry: ReplicaEntry): void {
    if (entry.replica?.log.isForgotten === true) entry.replica = undefined
  }

  #resync (entry: ReplicaEntry): void {
    if (this.#isClosed || this.#entryByBase.get(entry.place.base) !== entry) return
    // What is read already may be from before the subscription was in force again.
    entry.asksAgain = entry.isResyncing
    if (entry.isResyncing) return
    entry.isResyncing = true
    const settle = (): void => {
      entry.isResyncing = false
      if (entry.asksAgain) this.#resync(entry)
    }
    this.#read(entry, false).then(settle, () => {
      settle()
      this.#tools.clock.after(RETRY_MS, () => { this.#resync(entry) })
    })
  }

  /** Sessions that are read must not expire; and what is published last may get lost without a gap. */
  #check (): void {
    const now = this.#tools.clock.now()
    for (const entry of this.#entryByBase.values()) {
      // A session that there is not, or not any more, is read by nobody.
      if (entry.opening > 0 || (entry.replica !== undefined && isRead(entry.replica))) entry.idleSince = undefined
      else if (now - (entry.idleSince ??= now) >= LINGER_MS) {
        this.#leave(entry)
        continue
      }
      if (entry.replica !== undefined) this.#checkOne(entry, entry.replica).catch(() => { this.#resync(entry) })
    }
  }

  async #checkOne (entry: ReplicaEntry, replica: RedisReplica): Promise<void> {
    const { runner, checkMs, clock } = this.#tools
    const { base, claims } = entry.place
    const { version: seen } = replica
    const answer = await runner.run('check', [base, claims], [3 * checkMs]) as [string, number, number] | []
    const [version, seq] = [answer[1] ?? 0, answer[2] ?? 0]
    const isOther = (): boolean => answer[0] !== replica.log.epoch || version < seen
    const isBehind = (): boolean => entry.replica === replica && (isOther() || version > replica.version || seq > replica.log.ring.top)
    if (isBehind()) clock.after(PUBLICATION_MS, () => { if (isBehind()) this.#resync(entry) })
  }

  #leave ({ place: { base } }: ReplicaEntry): void {
    this.#entryByBase.delete(base)
    this.#unsubscribe(base)
  }

  #unsubscribe (base: string): void {
    const { runner, subscriber, timeoutMs } = this.#tools
    const left = runner.inTime(timeoutMs, 'the end of a subscription', subscriber.unsubscribe(base)).catch(() => {
      // A connection that is gone has no subscriptions; a channel that nobody wants is told nothing.
    }).then(() => { if (this.#leaving.get(base) === left) this.#leaving.delete(base) })
    this.#leaving.set(base, left)
  }
}

function isRead ({ log }: RedisReplica): boolean {
  return log.cursors.size > 0 || log.liveTurns.some(({ firstCursor }) => firstCursor !== undefined)
}

function readAnswer (answer: unknown): { snapshot: Snapshot, isLeft: boolean } | undefined {
  // What the script answers.
  const read = answer as ReadAnswer | []
  if (read.length === 0) return undefined
  const [epoch, seq, version, isMore, messages, chats, running, said, runner] = read
  const [chat, begunBehind] = running
  return {
    snapshot: {
      epoch,
      seq: Number(seq),
      version: Number(version),
      isMore: isMore === 1,
      messages: messages.map(decodeMessage),
      waiting: chats.map(chatOf),
      running: chat === undefined ? undefined : { chat: chatOf(chat), begunBehind: Number(begunBehind) },
      said
    },
    isLeft: runner[3] === '1'
  }
}

function chatOf (text: string): StoredChat {
  return JSON.parse(text) as StoredChat
}

type ReadAnswer = [string, string, string, number, string[], string[], [string, string] | [undefined, undefined], string, string[]]

interface ReplicaEntry {
  readonly place: SessionPlace
  /** `undefined` until the first snapshot is there, and once the session was forgotten. */
  replica: RedisReplica | undefined
  /** Messages that came before something that precedes them. */
  pending: Message[]
  readonly subscribed: Promise<void>
  isSubscribed: boolean
  /** How many are about to read it. */
  opening: number
  /** Where a chat of this node was accepted in this run of the event loop. */
  acceptedAt: AcceptedAt | undefined
  idleSince: number | undefined
  isResyncing: boolean
  /** It has to be read once more. */
  asksAgain: boolean
}
