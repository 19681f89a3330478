import { TURN_STARTED } from '../../lib/protocol/names.js'
import type { SessionKey } from '../../lib/protocol/session-key.js'
import type { Entry, Journal, NewEntry, Offer, Position, Run, StoredChat, TurnEnd } from '../../lib/journal/journal.js'
import { JournalDouble } from './journal-double.js'
import type { Report } from './report.js'
import type { SessionTruth, Truth } from './truth.js'

/** Tells a `Truth` of all that a journal in memory takes, from what it is asked and answers. */
export class RecordingJournal extends JournalDouble {
  readonly #truth: Truth
  readonly #onFault: Report['fault']
  readonly #batches = new Map<Run, number>()

  constructor (inner: Journal, truth: Truth, onFault: Report['fault']) {
    super(inner)
    this.#truth = truth
    this.#onFault = onFault
  }

  override offer (key: SessionKey, chat: StoredChat, terms: Parameters<Journal['offer']>[2]): Offer {
    const session = this.#truth.session(key)
    const { running } = session
    const offer = this.inner.offer(key, chat, terms) as Offer
    if (!offer.accepted) return offer
    const { epoch, seq, displaced } = offer
    for (const [index, turnId] of displaced.entries()) {
      this.#stopped(session, turnId)
      this.#write(session, epoch, seq - displaced.length + 1 + index, turnId, { kind: 'end', end: terms.displacedEnd })
    }
    if (terms.onBusy === 'interrupt' && running !== undefined) this.#stopped(session, running)
    if (session.turns.has(chat.turnId)) this.#onFault('once', `${chat.turnId} was accepted twice in ${JSON.stringify(key)}`)
    this.#truth.accepted(key, chat, epoch)
    session.enter(epoch)
    return offer
  }

  override take (key: SessionKey, onStop: () => boolean): Run | undefined {
    const run = this.inner.take(key, onStop) as Run | undefined
    if (run === undefined) return undefined
    const session = this.#truth.session(key)
    const { epoch, seq } = this.#topOf(key)
    const { turnId, message, metadata } = run.chat
    session.running = turnId
    const data = metadata === undefined ? { message } : { message, metadata }
    this.#write(session, epoch, seq, turnId, { kind: 'event', name: TURN_STARTED, json: JSON.stringify(data) })
    return run
  }

  override append (run: Run, batch: number, entries: readonly NewEntry[]): boolean {
    const session = this.#truth.session(run.key)
    const { epoch, seq } = this.#topOf(run.key)
    const isWritten = this.inner.append(run, batch, entries) as boolean
    if (!isWritten || batch <= (this.#batches.get(run) ?? 0)) return isWritten
    this.#batches.set(run, batch)
    for (const [index, entry] of entries.entries()) this.#write(session, epoch, seq + 1 + index, run.chat.turnId, entry)
    return true
  }

  override release (run: Run, end: TurnEnd): void {
    const session = this.#truth.session(run.key)
    const before = this.#topOf(run.key)
    void this.inner.release(run, end)
    if (session.running === run.chat.turnId) session.running = undefined
    if (this.#topOf(run.key).seq > before.seq) this.#write(session, before.epoch, before.seq + 1, run.chat.turnId, { kind: 'end', end })
  }

  override withdraw (key: SessionKey, turnId: string, end: TurnEnd): boolean {
    const isWithdrawn = this.inner.withdraw(key, turnId, end) as boolean
    const session = this.#truth.session(key)
    if (!isWithdrawn) return false
    this.#stopped(session, turnId)
    const { epoch, seq } = this.#topOf(key)
    this.#write(session, epoch, seq, turnId, { kind: 'end', end })
    return true
  }

  override cancel (key: SessionKey, turnId: string | undefined, end: TurnEnd): string[] {
    const session = this.#truth.known(key)
    const isOpen = [...session?.turns.values() ?? []].some((turn) => turn.end === undefined)
    if (session === undefined || !isOpen) return this.inner.cancel(key, turnId, end) as string[]
    const { running } = session
    const before = this.#topOf(key)
    if (running !== undefined && (turnId === undefined || turnId === running)) this.#stopped(session, running)
    const stopped = this.inner.cancel(key, turnId, end) as string[]
    for (const [index, id] of stopped.filter((id) => id !== running).entries()) {
      this.#stopped(session, id)
      this.#write(session, before.epoch, before.seq + 1 + index, id, { kind: 'end', end })
    }
    return stopped
  }

  override publish (key: SessionKey, name: string, json: string): Position {
    const position = this.inner.publish(key, name, json) as Position
    this.#write(this.#truth.session(key), position.epoch, position.seq, undefined, { kind: 'event', name, json })
    return position
  }

  override follow (key: SessionKey, ...given: [Parameters<Journal['follow']>[1], () => void]): ReturnType<Journal['follow']> {
    const followed = this.inner.follow(key, ...given)
    if (followed !== undefined && 'cursor' in followed) this.#truth.session(key).enter(followed.cursor.epoch)
    return followed
  }

  #write (session: SessionTruth, epoch: string, seq: number, turnId: string | undefined, entry: NewEntry): void {
    try {
      session.write(epoch, seq, turnId, entry satisfies Omit<Entry, 'turnId' | 'seq'>)
    } catch (err) {
      this.#onFault('order', `the journal: ${String(err)}`)
    }
  }

  #stopped (session: SessionTruth, turnId: string): void {
    const turn = session.turns.get(turnId)
    if (turn !== undefined) turn.isStopped = true
  }

  /** Looks at the newest entry's number through a cursor that is gone at once: no reader, and nothing that a run waits for. */
  #topOf (key: SessionKey): Position {
    const followed = this.inner.follow(key, {}, () => {})
    if (followed === undefined || !('cursor' in followed)) throw new Error('only for journals in memory')
    const { epoch, seq } = followed.cursor
    followed.cursor.close()
    return { epoch, seq }
  }
}
