import { systemClock } from '../../clock.js'
import { ANONYMOUS } from '../../protocol/names.js'
import type { SessionKey } from '../../protocol/session-key.js'
import type { RedisClient } from '../../redis/redis-client.js'
import { newUuid } from '../../uuid.js'
import type {
  Claimed, Followed, FollowFrom, Journal, JournalStats, JournalWatcher, NewEntry, Offer, OfferTerms, Position, Run, StoredChat, TurnCursor,
  TurnEnd, Wake
} from '../journal.js'
import { MemorySessionCursor } from '../memory-session-cursor.js'
import type { Distance } from '../memory-turn.js'
import { MemoryTurnCursor } from '../memory-turn-cursor.js'
import { statsOf } from '../session-log.js'
import { decodeClaim, encodeEnded, encodeEntries, encodeKept, encodePublished } from './redis-entries.js'
import { redisBounds, type RedisJournalOptions } from './redis-journal-options.js'
import type { SessionPlace } from './redis-keys.js'
import { RedisNode, type RunnerAnswer } from './redis-node.js'
import { newNonce, RedisRun } from './redis-run.js'
import { RedisTakes, type Taken } from './redis-takes.js'

/** How a chat ends that was refused, and runs all the same. */
const REFUSED: TurnEnd = { finishReason: 'error', error: { code: 'STORE_UNAVAILABLE' } }
/** So long nodes have to say who reads a turn, in milliseconds. */
const READERS_MS = 300

/** A journal in Redis. */
export interface RedisJournal extends Journal {
  /** Settles when Redis has answered for the first time. */
  ready (): Promise<void>
}

/**
 * The journal of many nodes, in Redis 6.2 or later, a cluster of it, or Valkey. It opens two connections of its own, by the
 * settings of `client`, and closes them with `close`.
 * @param client of `ioredis` (`new Redis()`, `new Cluster()`) or of `redis` (`createClient()`, `createCluster()`)
 * @throws TypeError or RangeError for options that make no sense
 */
export function redisJournal (client: RedisClient, options: RedisJournalOptions): RedisJournal {
  return new SharedJournal(client, options)
}

class SharedJournal implements RedisJournal {
  readonly #node: RedisNode
  readonly #takes: RedisTakes
  readonly #bounds: ReturnType<typeof redisBounds>
  readonly #halfRing: Distance
  readonly #quarterRing: Distance

  constructor (client: RedisClient, options: RedisJournalOptions) {
    const bounds = this.#bounds = redisBounds(options)
    this.#node = new RedisNode(client, options, bounds)
    this.#takes = new RedisTakes({ node: this.#node, clock: options.clock ?? systemClock, leaseMs: bounds.leaseMs })
    this.#halfRing = { entries: bounds.maxEntries / 2, bytes: bounds.maxBytes / 2 }
    this.#quarterRing = { entries: bounds.maxEntries / 4, bytes: bounds.maxBytes / 4 }
  }

  get id (): string { return this.#node.id }

  get graceMs (): number { return this.#bounds.journalGraceMs }

  ready (): Promise<void> { return this.#node.ready }

  watch (onNews: JournalWatcher): () => void {
    return this.#node.watch(onNews)
  }

  offer (key: SessionKey, chat: StoredChat, { onBusy, maxQueued, displacedEnd, onStop }: OfferTerms): Promise<Offer> {
    return this.#node.inLane(key, async (place) => {
      const { turnId, bodyHash = '' } = chat
      const maxClaims = key.owner === ANONYMOUS ? '' : this.#bounds.maxClaimsPerOwner
      const newest = newUuid()
      const args = [
        newest, place.text, turnId, bodyHash, JSON.stringify(chat), onBusy, maxQueued, maxClaims,
        JSON.stringify(displacedEnd), encodeEnded(displacedEnd)
      ]
      // First the index: a chat that waits and is not there would wait for a visitor once its node is gone. Where both are
      // in one place, they come there in this order; and whoever reads the turn subscribes meanwhile.
      const offerIndexed = async (): Promise<[OfferAnswer, Taken | undefined]> => {
        const indexed = this.#node.sweep.add(place)
        if (this.#node.isCluster) await indexed
        const offered = this.#node.run('offer', place, args) as Promise<OfferAnswer>
        // Right behind it, and not when it is answered: most often nothing runs. What comes of it is heard in any case.
        const isToTake = onStop !== undefined && !this.#takes.mayOwe(place) && this.#node.seemsFree(place)
        const taken = isToTake ? this.#takes.ask(place, turnId).catch(() => undefined) : undefined
        const [answer] = await Promise.all([offered, indexed]).finally(() => taken)
        return [answer, await taken]
      }
      const [answer, taken] = await this.#node.replicas.prepare(place, offerIndexed, ([[kind, , , epoch, , , told], given]) => {
        if (kind !== 'accepted') return undefined
        const version = Number(told)
        // That it runs is the next thing to be seen.
        const through = given?.isGiven === true ? version + 1 : version
        return { epoch, version, through, chat, isNew: epoch === newest }
      })
      const [kind, more, position, epoch, seq, displaced] = answer
      if (kind !== 'accepted') this.#tellOfOwed(place)
      if (kind === 'claimed') return { accepted: false, claimed: claimedOf(more, bodyHash) }
      if (more[3] === '1') void this.#node.onLeft(place)
      if (kind !== 'accepted') return { accepted: false, code: kind }
      for (const id of displaced) this.#node.dropOffered(place, id)
      const offer: Offer = { accepted: true, position, epoch, seq: Number(seq), displaced }
      if (taken?.isGiven === true && onStop !== undefined) return { ...offer, run: this.#takes.begin(place, taken, onStop) }
      this.#node.addOffered(place, chat)
      if (onBusy === 'interrupt') await this.#node.stop(place, more, displacedEnd)
      return offer
    })
  }

  async claimed (key: SessionKey, { turnId, bodyHash }: Pick<StoredChat, 'turnId' | 'bodyHash'>): Promise<Claimed | undefined> {
    if (bodyHash === undefined) return undefined
    return await this.#node.inLane(key, async (place) => {
      const claim = await this.#node.run('claimed', place, [turnId, bodyHash]) as string | null
      return claim === null ? undefined : claimedOf(claim, bodyHash)
    })
  }

  take (key: SessionKey, onStop: () => boolean): Promise<Run | undefined> {
    return this.#node.inLane(key, async (place) => {
      const asked = this.#node.persist(() => this.#takes.ask(place), this.#bounds.commandTimeoutMs)
      this.#node.sweep.addAgain(place)
      const taken = await asked
      if (!taken.isGiven) {
        if (taken.runner[3] === '1') void this.#node.onLeft(place)
        this.#node.passOver(place, taken.waiting)
        return undefined
      }
      const run = this.#takes.begin(place, taken, onStop)
      this.#node.dropOffered(place, run.chat.turnId)
      return run
    })
  }

  async append (run: Run, batch: number, entries: readonly NewEntry[]): Promise<boolean> {
    const own = runOf(run)
    if (hasEndInside(entries)) return false
    return await this.#node.inAppendLane(own.place, async (place) => {
      if (batch <= own.lastBatch) return true
      if (own.isOver || own.hasEnd) return false
      const end = entries.at(-1)
      const ended = end?.kind === 'end' ? encodeEnded(end.end) : ''
      const args = [
        own.epoch, own.fence, own.seen, batch, entries.length, encodeKept(entries),
        encodeEntries(own.chat.turnId, entries), ended, newUuid()
      ]
      const askedAt = this.#node.now()
      // The same number each time: what Redis has taken already it does not take again.
      const [kind, seq] = await this.#node.persist(() => this.#node.run('append', place, args), this.graceMs) as ['written' | 'gone', string]
      if (kind === 'written') {
        own.written(batch, entries, Number(seq), askedAt)
        return true
      }
      this.#node.runs.end(own)
      // Whoever reads here is to know how the turn has ended before it is said that it cannot go on.
      if (this.#node.replicas.find(place.base) !== undefined) await this.#node.replicas.open(place, false)
      return false
    })
  }

  async release (run: Run, end: TurnEnd): Promise<void> {
    const own = runOf(run)
    await this.#node.inLane(own.key, async () => { await this.#release(own, end) })
  }

  async #release (own: RedisRun, end: TurnEnd): Promise<void> {
    if (own.isOver) return
    const { place } = own
    try {
      const args = [own.epoch, own.fence, JSON.stringify(end), encodeEnded(end)]
      const [, waiting] = await this.#node.persist(() => this.#node.run('release', place, args), this.graceMs) as ['released' | 'gone', number]
      if (waiting > 0) await this.#node.freed(place)
    } finally {
      // Else its lease runs out.
      this.#node.runs.end(own)
    }
  }

  withdraw (key: SessionKey, turnId: string, end: TurnEnd): Promise<boolean> {
    return this.#node.inLane(key, async (place) => {
      this.#node.dropOffered(place, turnId)
      return await this.#node.run('withdraw', place, [turnId, JSON.stringify(end), encodeEnded(end)]) === 1
    })
  }

  retract (key: SessionKey, chat: StoredChat): Promise<boolean> {
    return this.#node.inLane(key, async (place) => {
      this.#node.dropOffered(place, chat.turnId, chat)
      const isRetracted = await this.#node.run('retract', place, [chat.turnId, JSON.stringify(chat)]) === 1
      // Else it may wait on, and what failed may have been its place in the index.
      if (!isRetracted) this.#node.sweep.addAgain(place)
      if (!isRetracted && this.#takes.mayOwe(place)) await this.#settleOwed(place, chat)
      return isRetracted
    })
  }

  cancel (key: SessionKey, turnId: string | undefined, end: TurnEnd): Promise<string[]> {
    return this.#node.inLane(key, async (place) => {
      const answer = await this.#node.run('cancel', place, [turnId ?? '', JSON.stringify(end), encodeEnded(end)])
      const [stopped, runner] = answer as [string[], RunnerAnswer]
      for (const id of stopped) this.#node.dropOffered(place, id)
      const running = await this.#node.stop(place, runner, end)
      return running === undefined ? stopped : [running, ...stopped]
    })
  }

  publish (key: SessionKey, name: string, json: string): Promise<Position> {
    return this.#node.inLane(key, async (place) => {
      const [epoch, seq] = await this.#node.run('publish', place, [newUuid(), place.text, encodePublished(name, json)]) as [string, string]
      return { epoch, seq: Number(seq) }
    })
  }

  followTurn (key: SessionKey, turnId: string, wake: Wake): Promise<TurnCursor | undefined> {
    return this.#node.inLane(key, async (place) => {
      const replica = await this.#node.replicas.open(place, false)
      const turn = replica?.log.find(turnId)
      return turn === undefined ? undefined : new MemoryTurnCursor(turn, wake, this.#quarterRing)
    })
  }

  follow (key: SessionKey, { position, turns }: FollowFrom, wake: Wake): Promise<Followed | undefined> {
    return this.#node.inLane(key, async (place) => {
      const replica = await this.#node.replicas.open(place, true)
      if (replica === undefined) throw new Error('the session was forgotten while somebody began to read it')
      const { log } = replica
      const { ring, epoch } = log
      const isHeld = position?.epoch === epoch && position.seq >= ring.first - 1 && position.seq <= ring.top
      const cursor = new MemorySessionCursor(log, isHeld ? position.seq : ring.top, turns, wake, this.#quarterRing)
      return { cursor, recovered: isHeld, turns: log.openTurns(!isHeld) }
    })
  }

  async readers (key: SessionKey, turnId: string): Promise<number> {
    const { base } = this.#node.keys.session(key)
    const counts = await this.#node.peers.ask(base, { ask: 'readers', base, turnId }, READERS_MS)
    return counts.reduce<number>((sum, count) => sum + Number(count), 0)
  }

  pace (run: Run): Promise<void> | undefined {
    const { place, chat } = runOf(run)
    const turn = this.#node.replicas.find(place.base)?.log.running
    return turn?.chat.turnId === chat.turnId ? turn.pace(this.#halfRing) : undefined
  }

  async forget (key: SessionKey): Promise<void> {
    await this.#node.inLane(key, async (place) => {
      const run = this.#node.runs.find(place.base)
      await this.#node.run('forget', place, [encodeEnded({ finishReason: 'aborted' })])
      if (run !== undefined) this.#node.runs.end(run)
    })
  }

  /** The right to end a turn whose node is gone, and what it has said so far. */
  salvage (key: SessionKey): Promise<Run | undefined> {
    return this.#node.inLane(key, async (place) => {
      if (!this.#node.mayTakeOver(place)) return undefined
      const [nonce, askedAt] = [newNonce(), this.#node.now()]
      const answer = await this.#node.persist(
        () => this.#node.run('salvage', place, [this.#node.nodeId, nonce]), this.#bounds.commandTimeoutMs) as SalvageAnswer
      if (answer[0] === 'ended' && answer[1] > 0) await this.#node.freed(place)
      if (answer[0] !== 'run') return undefined
      const [, chat, epoch, fence, seq, said] = answer
      return this.#node.begin(place, chat, [epoch, fence, Number(seq)], () => false, askedAt, said)
    })
  }

  stats (): JournalStats {
    return statsOf(this.#node.replicas.all.map(({ log }) => log), 0)
  }

  close (): void {
    this.#node.close()
  }

  /** A right that was given with a chat's offer, and cannot be handed over with its answer: whoever runs turns here asks for it. */
  #tellOfOwed (place: SessionPlace): void {
    if (this.#takes.mayOwe(place)) void this.#node.tellLater({ kind: 'free', key: place.key })
  }

  /** The same of a chat that is refused. One without a claim is not found by its client any more: it ends. */
  async #settleOwed (place: SessionPlace, { turnId, acceptedAt }: StoredChat): Promise<void> {
    const taken = await this.#takes.ask(place)
    const chat = taken.isGiven ? JSON.parse(taken.chat) as StoredChat : undefined
    const isMeant = chat?.turnId === turnId && chat.acceptedAt === acceptedAt && chat.bodyHash === undefined
    if (!taken.isGiven || !isMeant) return this.#tellOfOwed(place)
    await this.#release(this.#takes.begin(place, taken, () => false), REFUSED)
  }
}

function claimedOf (claim: string, bodyHash: string): Claimed {
  const { hash, ended } = decodeClaim(claim)
  return hash === bodyHash ? { isSame: true, ended } : { isSame: false }
}

function hasEndInside (entries: readonly NewEntry[]): boolean {
  return entries.length > 1 && entries.slice(0, -1).some(({ kind }) => kind === 'end')
}

/** Runs are made here and nowhere else. */
function runOf (run: Run): RedisRun {
  if (run instanceof RedisRun) return run
  throw new TypeError('this run is of another journal')
}

// What the scripts answer.
type OfferAnswer =
  | ['claimed', string]
  | ['SESSION_BUSY' | 'QUEUE_FULL' | 'RATE_LIMITED', RunnerAnswer]
  | ['accepted', RunnerAnswer, number, string, string, string[], string]
type SalvageAnswer = ['run', string, string, string, string, string] | ['ended', number] | ['none']
