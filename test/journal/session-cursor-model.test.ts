import assert from 'node:assert/strict'

import t from 'tap'

import type { Awaitable } from '../../lib/awaitable.js'
import type {
  Entry, Followed, Journal, NewEntry, OfferTerms, Run, SessionCursor, StoredChat, TurnEnd
} from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { MERGE_UNITS } from '../../lib/journal/turn-text.js'
import { Random } from '../fuzz/random.js'
import { ManualClock } from '../helpers/manual-clock.js'

const S = { owner: 'ann', agentId: 'main', sessionId: 's' }
const ABORTED: TurnEnd = { finishReason: 'aborted' }
/** `SEED` starts at another one, `SEEDS` is the last. */
const SEED = Number(process.env.SEED ?? 1)
const SEEDS = Number(process.env.SEEDS ?? 30)
const STEPS = 300

/** Does things to a session at random, and keeps a log of all that was written to it. */
class Play {
  readonly random: Random
  readonly clock = new ManualClock()
  readonly journal: Journal
  readonly readers: Reader[] = []
  /** All entries of this epoch; that of seq 1 is the first. */
  log: Entry[] = []
  epoch = ''
  queue: string[] = []
  ended: string[] = []
  running: { run: Run, turnId: string, hasEnd: boolean } | undefined
  readonly #hasBigPieces: boolean
  #made = 0
  #batch = 0

  constructor (seed: number) {
    this.random = new Random(seed)
    this.#hasBigPieces = this.random.perMille(300)
    const maxBytes = this.#hasBigPieces ? 1e6 : this.random.pick([700, 2_000, 1e6])
    this.journal = memoryJournal({
      clock: this.clock, maxEntries: this.random.pick([1, 2, 3, 5, 8, 16, 64]), maxBytes, maxAgeMs: 20_000, dedupWindowMs: 20_000
    })
    for (let count = 1 + this.random.below(4); count > 0; count--) this.readers.push(new Reader(this))
  }

  /** The oldest entry that the journal holds. */
  get first (): number { return this.log.length - this.journal.stats().entries + 1 }

  get openTurns (): string[] {
    return this.running === undefined || this.running.hasEnd ? [...this.queue] : [this.running.turnId, ...this.queue]
  }

  get isIdle (): boolean {
    return this.running === undefined && this.queue.length === 0 && this.readers.every(({ isOpen }) => !isOpen)
  }

  run (): void {
    for (let step = 0; step < STEPS; step++) {
      this.#act()
      for (const reader of this.readers) reader.checkWoken()
      for (const reader of this.readers) if (this.random.perMille(reader.rate)) reader.act()
    }
    for (const reader of this.readers) reader.finish()
    if (this.running !== undefined) this.#release(this.running)
    this.#cancel(undefined)
    this.clock.advance(60_000)
    assert.deepEqual(this.journal.stats(), { sessions: 0, entries: 0, bytes: 0, cursors: 0, claims: 0 })
    assert.equal(this.clock.pending, 0)
  }

  textOf (turnId: string, upTo: number): string {
    return this.log.slice(0, upTo).map((entry) => entry.kind === 'text' && entry.turnId === turnId ? entry.content : '').join('')
  }

  endOf (turnId: string): Extract<Entry, { kind: 'end' }> | undefined {
    return this.log.find((entry) => entry.kind === 'end' && entry.turnId === turnId) as Extract<Entry, { kind: 'end' }> | undefined
  }

  /** What the journal says of the epoch: a new one only when the session was nobody's. */
  meet (epoch: string): void {
    if (epoch === this.epoch) return
    assert.ok(this.epoch === '' || this.isIdle, 'a session that is used keeps its epoch')
    this.#begin(epoch)
  }

  #begin (epoch: string): void {
    this.epoch = epoch
    this.log = []
    this.queue = []
    this.ended = []
    this.running = undefined
  }

  #act (): void {
    const { random, running } = this
    const dice = random.below(1_000)
    if (dice < 120) this.#offer()
    else if (dice < 250) this.#take()
    else if (dice < 700 && running !== undefined) this.#append(running)
    else if (dice < 750) this.#publish()
    else if (dice < 800 && running !== undefined && (running.hasEnd || random.perMille(200))) this.#release(running)
    else if (dice < 860 && this.queue.length > 0) this.#withdraw()
    else if (dice < 900) this.#cancel(random.perMille(700) ? this.#anyTurn() : undefined)
    else if (dice < 930 && this.queue.length > 0) this.#retract()
    else if (dice < 990) this.clock.advance(random.below(4_000))
    else if (dice < 992) this.#forget()
  }

  #offer (): void {
    const { random } = this
    const turnId = `t${++this.#made}`
    const terms: OfferTerms = { onBusy: random.perMille(100) ? 'interrupt' : 'queue', maxQueued: 3, displacedEnd: ABORTED }
    const isInterrupt = terms.onBusy === 'interrupt'
    const isFull = this.queue.length >= 3 + (this.running === undefined ? 1 : 0)
    const offered = now(this.journal.offer(S, chatOf(turnId), terms))
    if (!offered.accepted) {
      assert.deepEqual([offered, isFull], [{ accepted: false, code: 'QUEUE_FULL' }, true])
      return
    }
    this.meet(offered.epoch)
    const displaced = isInterrupt ? this.queue.splice(0) : []
    for (const id of displaced) this.#write(id, { kind: 'end', end: ABORTED })
    assert.deepEqual([offered.displaced, offered.seq], [displaced, this.log.length])
    assert.equal(offered.position, this.queue.length + (this.running === undefined ? 0 : 1))
    this.queue.push(turnId)
    for (const reader of this.readers) if (random.perMille(600)) reader.turns?.add(turnId)
  }

  #take (): void {
    const run = now(this.journal.take(S, () => true))
    const turnId = this.running === undefined ? this.queue.shift() : undefined
    assert.equal(run?.chat.turnId, turnId)
    if (run === undefined || turnId === undefined) return
    this.running = { run, turnId, hasEnd: false }
    this.#write(turnId, { kind: 'event', name: 'turn-started', json: JSON.stringify({ message: turnId }) })
  }

  #append (running: { run: Run, turnId: string, hasEnd: boolean }): void {
    const entries = Array.from({ length: 1 + this.random.below(3) }, () => this.#entry())
    const withEnd: NewEntry[] = this.random.perMille(100) ? [...entries, { kind: 'end', end: { finishReason: 'stop' } }] : entries
    const isWritten = now(this.journal.append(running.run, ++this.#batch, withEnd))
    assert.equal(isWritten, !running.hasEnd)
    if (!isWritten) return
    for (const entry of withEnd) this.#write(running.turnId, entry)
    running.hasEnd = withEnd !== entries
  }

  #entry (): NewEntry {
    const { random } = this
    const kind = random.pick(['text', 'text', 'text', 'text', 'text', 'text', 'text', 'text', 'text', 'text', 'event', 'message'])
    const isBig = this.#hasBigPieces && random.perMille(150)
    const content = `${++this.#made}${random.perMille(100) ? '😀' : ';'}`.repeat(isBig ? 5_000 + random.below(10_000) : 1 + random.below(9))
    return kind === 'event' ? { kind, name: 'x', json: '1' } : { kind: kind === 'text' ? 'text' : 'message', content }
  }

  #publish (): void {
    const { epoch, seq } = now(this.journal.publish(S, 'note', '2'))
    this.meet(epoch)
    this.#write(undefined, { kind: 'event', name: 'note', json: '2' })
    assert.equal(seq, this.log.length)
  }

  #release ({ run, turnId, hasEnd }: { run: Run, turnId: string, hasEnd: boolean }): void {
    this.journal.release(run, ABORTED)
    if (!hasEnd) this.#write(turnId, { kind: 'end', end: ABORTED })
    this.running = undefined
  }

  #withdraw (): void {
    const [turnId = ''] = this.queue.splice(this.random.below(this.queue.length), 1)
    assert.equal(now(this.journal.withdraw(S, turnId, ABORTED)), true)
    this.#write(turnId, { kind: 'end', end: ABORTED })
  }

  #retract (): void {
    const [turnId = ''] = this.queue.splice(this.random.below(this.queue.length), 1)
    const chat = chatOf(turnId)
    assert.equal(now(this.journal.retract(S, { ...chat, acceptedAt: 1 })), false)
    assert.equal(now(this.journal.retract(S, chat)), true)
    for (const reader of this.readers) reader.turns?.delete(turnId)
  }

  #cancel (turnId: string | undefined): void {
    const isMeant = (id: string): boolean => turnId === undefined || id === turnId
    const stopped = this.queue.filter(isMeant)
    this.queue = this.queue.filter((id) => !isMeant(id))
    const told = now(this.journal.cancel(S, turnId, ABORTED))
    for (const id of stopped) this.#write(id, { kind: 'end', end: ABORTED })
    assert.deepEqual(told, this.running !== undefined && isMeant(this.running.turnId) ? [this.running.turnId, ...stopped] : stopped)
  }

  #forget (): void {
    this.journal.forget(S)
    this.#begin('')
    for (const reader of this.readers) reader.lose()
  }

  #anyTurn (): string {
    return `t${1 + this.random.below(this.#made + 1)}`
  }

  #write (turnId: string | undefined, entry: NewEntry): void {
    this.log.push({ ...entry, turnId, seq: this.log.length + 1 })
    if (entry.kind === 'end' && turnId !== undefined) this.ended.push(turnId)
  }
}

/** Reads at its own pace, goes and comes back, and holds each entry against the log. */
class Reader {
  readonly rate: number
  turns: Set<string> | undefined
  readonly #play: Play
  readonly #mergeUnits: number
  #cursor: SessionCursor | undefined
  #epoch = ''
  #seq = 0
  #isAsleep = false
  #isForgotten = false
  /** What it would show of each turn that it has seen the start of, or was given at its follow. */
  #textById = new Map<string, string>()

  constructor (play: Play) {
    this.#play = play
    this.rate = play.random.pick([30, 150, 500, 1_000])
    this.#mergeUnits = play.random.pick([0, 12, MERGE_UNITS])
    if (play.random.perMille(500)) this.turns = new Set()
  }

  get isOpen (): boolean { return this.#cursor !== undefined && !this.#isForgotten }

  act (): void {
    const { random } = this.#play
    const cursor = this.#cursor ?? this.#follow()
    if (random.perMille(40)) {
      cursor.close()
      this.#cursor = undefined
      return
    }
    for (let count = random.below(4); count >= 0 && this.#cursor !== undefined; count--) this.#step(cursor)
    if (this.#cursor !== undefined && random.perMille(300)) this.#look(cursor)
  }

  /** A reader that sleeps is woken by what is for it. */
  checkWoken (): void {
    if (this.#cursor === undefined || !this.#isAsleep || this.#isForgotten) return
    assert.deepEqual(this.#unread(this.#play.log.length), [], 'it sleeps and there is more')
  }

  /** The session was forgotten. */
  lose (): void {
    this.#isForgotten = true
    if (this.#cursor !== undefined) assert.equal(this.#isAsleep, false, 'it sleeps and is lost')
  }

  /** Reads all there is, and leaves. */
  finish (): void {
    const cursor = this.#cursor ?? this.#follow()
    while (this.#cursor !== undefined && !this.#isAsleep) this.#step(cursor)
    if (this.#cursor !== undefined) this.#look(cursor)
    this.#cursor?.close()
    this.#cursor = undefined
  }

  #follow (): SessionCursor {
    const play = this.#play
    const { random } = play
    const position = this.#epoch === '' || random.perMille(50) ? undefined : { epoch: this.#epoch, seq: this.#seq }
    const followed = now(play.journal.follow(S, { position, turns: this.turns }, (isUrgent) => {
      assert.equal(this.#isAsleep || isUrgent, true, 'only who sleeps is woken, unless a turn has ended or waits')
      this.#isAsleep = false
    }))
    assert.ok(followed)
    const { cursor, recovered } = followed
    play.meet(cursor.epoch)
    const isHeld = position?.epoch === play.epoch && position.seq >= play.first - 1
    assert.equal(recovered, isHeld)
    this.#isAsleep = this.#isForgotten = false
    this.#cursor = cursor
    if (!recovered) this.#replace(followed)
    assert.deepEqual(followed.turns.map(({ chat }) => chat.turnId), play.openTurns)
    assert.equal(cursor.seq, this.#seq)
    return cursor
  }

  /** What it knew is void. */
  #replace ({ cursor, turns }: Followed): void {
    const play = this.#play
    this.#epoch = cursor.epoch
    this.#seq = play.log.length
    this.#textById = new Map()
    for (const { chat, status, text } of turns) {
      assert.equal(text, status === 'running' ? play.textOf(chat.turnId, this.#seq) : undefined)
      if (text !== undefined) this.#textById.set(chat.turnId, text)
    }
    this.turns?.clear()
    for (const turnId of play.openTurns) if (play.random.perMille(500)) this.turns?.add(turnId)
  }

  #step (cursor: SessionCursor): void {
    const play = this.#play
    const { first } = play
    if (this.#mergeUnits === 0 && play.random.perMille(500) && this.#takeTexts(cursor, first)) return
    const entry = cursor.next(this.#mergeUnits)
    if (entry === 'lost') {
      this.#checkLost(first)
      assert.equal(cursor.next(this.#mergeUnits), undefined, 'lost is said once')
      cursor.close()
      this.#cursor = undefined
      return
    }
    assert.equal(this.#isForgotten, false)
    if (entry === undefined) {
      assert.deepEqual(this.#unread(play.log.length), [])
      this.#isAsleep = true
    } else this.#take(entry, first)
    assert.ok(cursor.seq >= this.#seq && cursor.seq <= play.log.length)
    assert.deepEqual(this.#unread(cursor.seq), [], 'what is passed over is of others')
  }

  /** By the short way, as many as it likes. */
  #takeTexts (cursor: SessionCursor, first: number): boolean {
    const { random, log } = this.#play
    let [count, isWanted] = [0, true]
    const hasGiven = cursor.nextTexts?.({
      takeText: (content, turnId, seq) => {
        assert.ok(isWanted && seq === cursor.seq && seq >= first)
        assert.deepEqual(log[seq - 1], { kind: 'text', content, turnId, seq })
        this.#take({ kind: 'text', content, turnId, seq }, first)
        count++
        isWanted = random.perMille(600)
        return isWanted
      }
    })
    assert.equal(hasGiven, count > 0)
    return count > 0
  }

  #take (entry: Entry, first: number): void {
    const play = this.#play
    assert.ok(entry.seq > this.#seq && entry.seq <= play.log.length, `${entry.seq} after ${this.#seq}`)
    const meant = this.#unread(entry.seq)
    if (entry.kind === 'text') this.#checkText(entry, meant, first)
    else assert.deepEqual(meant, [entry])
    this.#seq = entry.seq
    if (entry.turnId === undefined) return
    if (entry.kind === 'event' && entry.name === 'turn-started') this.#textById.set(entry.turnId, '')
    const known = this.#textById.get(entry.turnId)
    if (entry.kind === 'text' && known !== undefined) this.#textById.set(entry.turnId, known + entry.content)
    if (entry.kind !== 'end') return
    if (known !== undefined) assert.equal(known, play.textOf(entry.turnId, play.log.length))
    this.turns?.delete(entry.turnId)
  }

  #checkText (entry: Extract<Entry, { kind: 'text' }>, meant: Entry[], first: number): void {
    let joined = ''
    for (const piece of meant) {
      assert.ok(piece.kind === 'text' && piece.turnId === entry.turnId)
      joined += piece.content
    }
    assert.equal(joined === entry.content, true, `the text up to ${entry.seq} is what was written`)
    const [oldest, ...more] = meant
    assert.ok(oldest?.kind === 'text')
    if (oldest.seq < first || more.length === 0) return
    assert.ok(entry.content.length <= this.#mergeUnits, 'it is merged up to a limit')
    assert.equal(more.at(-1)?.seq, entry.seq)
  }

  /** Only if something is gone that is no text, or is the text of a turn that need not be kept. */
  #checkLost (first: number): void {
    if (this.#isForgotten) return
    const play = this.#play
    const newest = play.ended.at(-1)
    const gone = this.#unread(first - 1)
    const isKept = ({ kind, turnId = '' }: Entry): boolean => kind === 'text' && (!play.ended.includes(turnId) || turnId === newest)
    assert.ok(gone.some((entry) => !isKept(entry)), `nothing is lost after ${this.#seq}: ${JSON.stringify(gone)}`)
  }

  #look (cursor: SessionCursor): void {
    const play = this.#play
    if (this.#isForgotten) return
    const turnIds = new Set(play.log.map(({ turnId }) => turnId))
    for (const turnId of new Set([...turnIds, ...play.openTurns])) {
      if (turnId === undefined) continue
      const view = cursor.view(turnId)
      const end = play.endOf(turnId)
      if (view === undefined) {
        const isKept = play.openTurns.includes(turnId) || (end !== undefined && end.seq >= play.first && play.ended.at(-1) === turnId)
        assert.ok(!isKept || cursor.seq + 1 < play.first, `${turnId} at ${cursor.seq} is kept`)
        continue
      }
      assert.equal(view.text === play.textOf(turnId, cursor.seq), true, `the text of ${turnId} at ${cursor.seq}`)
      assert.deepEqual(view.end, end !== undefined && end.seq <= cursor.seq ? end.end : undefined)
    }
  }

  /** What was written for this reader after what it has read. */
  #unread (upTo: number): Entry[] {
    const { turns } = this
    const written = this.#play.log.slice(this.#seq, upTo)
    return turns === undefined ? written : written.filter(({ turnId }) => turnId !== undefined && turns.has(turnId))
  }
}

/** Every second chat comes with a hash of its body. */
function chatOf (turnId: string): StoredChat {
  return { turnId, message: turnId, acceptedAt: 0, ...(Number(turnId.slice(1)) % 2 === 0 ? { bodyHash: turnId } : {}) }
}

/** The one in memory answers at once. */
function now<T> (value: Awaitable<T>): T {
  return value as T
}

await t.test('readers of a session, whatever is done to it, are told what was written: once, in order, or that it is lost', async (t) => {
  for (let seed = SEED; seed <= SEEDS; seed++) {
    try {
      new Play(seed).run()
    } catch (error) {
      t.fail(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`)
      return
    }
  }
  t.pass(`${SEEDS} seeds`)
})
