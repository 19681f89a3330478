import type { Entry } from '../../lib/journal/journal.js'
import type { SessionKey } from '../../lib/protocol/session-key.js'
import type { Frame } from '../helpers/channel-client.js'
import type { Report } from './report.js'
import type { SessionTruth, Truth, TurnTruth } from './truth.js'

/** What one client knows of one session, across its connections. */
export class SessionView {
  readonly key: SessionKey
  /** Everything of the feed up to here was read. */
  position: { epoch: string, seq: number } | undefined
  readonly turns = new Map<string, TurnView>()

  constructor (key: SessionKey) {
    this.key = key
  }

  /** Nobody tells any more of turns that are open and not among these. */
  keepOnly (isKept: (turnId: string) => boolean): void {
    for (const [turnId, { end }] of this.turns) if (end === undefined && !isKept(turnId)) this.turns.delete(turnId)
  }
}

export interface TurnView {
  text: string
  /** The text is there from its start. */
  isWhole: boolean
  /** The reason, or where to read how it ended. */
  end: string | undefined
  /** Its chat was acknowledged as a duplicate: the end may have been told before, or right behind the ack, and never again. */
  isAgain?: boolean
  /** Its text is told at its end: what is told of it to who comes back begins somewhere. */
  isJoined?: boolean
}

/** A chat that a client has sent, as far as its feeds need to know it. */
export interface SentChat {
  id: string
  message: string
  isStreamed: boolean
}

/** The feed of one session on one connection: puts its turns together, and checks every frame against what really happened. */
export class FeedView {
  readonly session: SessionView
  isWhole = false
  epoch = ''
  seq = 0
  /** Turns that have begun for this reader, and have not ended. */
  readonly open = new Set<string>()
  readonly own = new Set<string>()
  /** Messages of chats without an id, sent while all of the session was followed. */
  readonly plain = new Set<string>()
  readonly #joined = new Set<string>()
  readonly #ended = new Set<string>()
  readonly #told = new Set<string>()
  readonly #truth: SessionTruth
  readonly #report: Report
  #isOpen = false
  #retold: { id: string, seq: number } | undefined

  constructor (session: SessionView, truth: Truth, report: Report) {
    this.session = session
    this.#truth = truth.session(session.key)
    this.#report = report
  }

  /** All that there is has been told. */
  get isUpToDate (): boolean {
    return this.#retold === undefined && this.open.size === 0 && this.#missing(Infinity).length === 0
  }

  onAck (frame: Frame, chat: SentChat): void {
    const { id, epoch, seq, status, content } = frame as unknown as Ack
    const turn = this.#turn(id)
    // A session that has no room to be followed has no feed: then the place of the turn's end is told, and nothing moves.
    const isWithoutFeed = this.own.size === 0 && !this.isWhole && status === 'duplicate' && turn?.epoch === epoch && turn.endSeq === seq
    if (!isWithoutFeed || seq >= this.seq) this.#moveTo(epoch, seq)
    if (turn === undefined) return this.#fault('answers', `acknowledged, and never taken: ${JSON.stringify(frame)}`)
    if (turn.chat.message !== chat.message) this.#fault('once', `acknowledged for another message: ${JSON.stringify(frame)}`)
    const isOver = status === 'duplicate' && turn.end !== undefined && (turn.epoch !== epoch || (turn.endSeq ?? 0) <= seq)
    if (status === 'duplicate') {
      const known = this.#truth.textOf(turn, turn.epoch === epoch ? seq : Infinity)
      // Told from the history, which has whole messages too, and nothing of a turn without an answer.
      const answer = this.#truth.answerOf(turn)
      const isRecalled = isOver && (content === answer || (content === undefined && answer === ''))
      if (content !== known && !isRecalled) this.#fault('text', `of ${id} up to ${seq} there was ${quoted(known)}, its ack says ${quoted(content)}`)
    } else if (this.#told.has(id)) this.#fault('order', `${id} was told before its ack`)
    this.session.turns.set(id, { text: content ?? '', isWhole: true, end: undefined, isAgain: status === 'duplicate', isJoined: !chat.isStreamed })
    if (isOver) this.#retold = { id, seq }
    else this.#begin(id, !chat.isStreamed)
  }

  onSubscribed (frame: Frame, asked: { epoch?: string, after?: number } | undefined): void {
    const { epoch, seq, recovered, turns } = frame as unknown as Subscribed
    if (!this.#truth.epochs.has(epoch)) return this.#fault('owner', `of another session: ${quoted(frame)}`)
    if (asked === undefined && recovered) this.#fault('cut', 'recovered, unasked')
    if (recovered) this.#recovered(frame, asked)
    else this.#anew(epoch, seq, turns, this.isWhole || asked !== undefined)
    this.#isOpen = true
    this.epoch = epoch
    this.seq = seq
    if (asked !== undefined) this.isWhole = true
    this.session.position = { epoch, seq }
  }

  onUnsubscribed (): void {
    this.isWhole = false
    for (const id of this.open) if (!this.#isOwn(id)) this.open.delete(id)
    this.session.keepOnly((id) => this.#isOwn(id))
  }

  /** A frame with a `seq` that is no answer. */
  take (frame: Frame): void {
    const { id, seq } = frame as unknown as { id?: string, seq: number }
    const retold = this.#retold
    this.#retold = undefined
    if (retold !== undefined) return this.#retellEnd(frame, retold)
    if (!this.#isOpen || seq <= this.seq) return this.#fault('order', `at ${this.seq} came ${quoted(frame)}`)
    if (id !== undefined && this.#turn(id) === undefined) return this.#fault('owner', `nobody of this owner has begun the turn of ${quoted(frame)}`)
    const told = this.#missing(seq)
    this.#compare(frame, told)
    if (told.length > 1) this.#report.count('merged')
    this.seq = seq
    this.session.position = { epoch: this.epoch, seq }
    if (id === undefined) return
    this.#told.add(id)
    this.#put(id, frame)
  }

  /** What is still to be told up to a position. */
  #missing (upTo: number): Entry[] {
    return this.#truth.between(this.epoch, this.seq, upTo).filter((entry) => this.#tells(entry))
  }

  #tells ({ kind, turnId }: Entry): boolean {
    if (kind === 'text' && this.#joined.has(turnId ?? '')) return false
    return this.isWhole || (turnId !== undefined && this.#isOwn(turnId))
  }

  #isOwn (turnId: string): boolean {
    return this.own.has(turnId) || this.plain.has(this.#turn(turnId)?.chat.message ?? '')
  }

  /** An ack says where the feed is: there must have been nothing to tell in between. */
  #moveTo (epoch: string, seq: number): void {
    if (this.#isOpen && epoch === this.epoch) {
      const missing = this.#missing(seq)
      if (seq < this.seq || missing.length > 0) this.#fault('order', `an ack at ${seq}, after ${this.seq} and before ${quoted(missing)} was told`)
    } else if (this.isWhole) this.#fault('order', `an ack of another epoch: ${epoch}`)
    if (!this.isWhole) this.session.keepOnly((id) => this.#isOwn(id))
    this.#isOpen = true
    this.epoch = epoch
    this.seq = seq
    // Of an ended turn, where there is no feed, the place of its end is told.
    if (this.session.position?.epoch !== epoch || this.session.position.seq < seq) this.session.position = { epoch, seq }
  }

  #recovered (frame: Frame, asked: { epoch?: string, after?: number } | undefined): void {
    const { epoch, seq, turns } = frame as unknown as Subscribed
    if (epoch !== asked?.epoch || seq !== asked.after) this.#fault('cut', `asked for ${quoted(asked)}, recovered at ${quoted(frame)}`)
    if (seq > this.#truth.top(epoch)) this.#fault('cut', `recovered beyond the end, at ${quoted(frame)}`)
    for (const { id, content } of turns) {
      if (content !== undefined) this.#fault('cut', `recovered, and yet with content: ${quoted(frame)}`)
      const turn = this.#listed(id)
      if (turn?.startSeq !== undefined && turn.startSeq <= seq && !this.session.turns.has(id)) {
        this.session.turns.set(id, { text: '', isWhole: false, end: undefined })
      }
    }
  }

  #anew (epoch: string, seq: number, turns: Subscribed['turns'], isForAll: boolean): void {
    const isEndedBy = (turn: TurnTruth): boolean => turn.epoch !== epoch || (turn.endSeq ?? Infinity) <= seq
    if (this.#isOpen && epoch === this.epoch && seq < this.seq) this.#fault('order', `subscribed back at ${seq}, after ${this.seq}`)
    if (seq > this.#truth.top(epoch)) this.#fault('cut', `subscribed at ${seq}, beyond the end`)
    const listed = new Set(turns.map(({ id }) => id))
    for (const { id, status, content } of turns) {
      const turn = this.#listed(id)
      if (turn === undefined) continue
      if (!isForAll && !this.#isOwn(id)) {
        this.#fault('cut', `${id} was told, which is not the reader's own`)
        continue
      }
      const isRunning = (turn.startSeq ?? Infinity) <= seq && !isEndedBy(turn)
      const text = isRunning ? this.#truth.textOf(turn, seq) : undefined
      if ((status === 'running') !== isRunning || content !== text) this.#fault('cut', `at ${seq} ${id} had ${quoted(text)}, told was ${status} ${quoted(content)}`)
      this.session.turns.set(id, { ...this.session.turns.get(id), text: content ?? '', isWhole: true, end: undefined })
    }
    for (const turn of this.#truth.turns.values()) {
      const isMeant = isForAll || this.own.has(turn.chat.turnId)
      if (isMeant && (turn.startSeq ?? Infinity) <= seq && !isEndedBy(turn) && !listed.has(turn.chat.turnId)) this.#fault('cut', `at ${seq} ${turn.chat.turnId} ran, and was not told`)
    }
    for (const [id, view] of this.session.turns) if (view.end === undefined && !listed.has(id)) view.end = '(see the history)'
    for (const set of [this.open, this.own]) for (const id of set) if (!listed.has(id)) set.delete(id)
    for (const id of listed) if (isForAll || this.#isOwn(id)) this.open.add(id)
  }

  #listed (id: string): TurnTruth | undefined {
    const turn = this.#turn(id)
    if (turn === undefined) this.#fault('owner', `nobody of this owner has begun the listed turn ${id}`)
    return turn
  }

  #begin (id: string, isJoined: boolean): void {
    this.own.add(id)
    this.open.add(id)
    if (isJoined) this.#joined.add(id)
  }

  #put (id: string, frame: Frame): void {
    if (frame.type === 'event') {
      if (frame.name !== 'turn-started') return
      this.open.add(id)
      this.session.turns.set(id, { ...this.session.turns.get(id), text: '', isWhole: true, end: undefined })
      return
    }
    let view = this.session.turns.get(id)
    if (view === undefined) this.session.turns.set(id, view = { text: '', isWhole: frame.done === true && this.#turn(id)?.startSeq === undefined, end: undefined })
    if (frame.type === 'stream') view.text += String(frame.content)
    if (frame.type === 'message' && frame.done === true) view.text = String(frame.content)
    if (frame.done !== true) return
    if (this.#ended.has(id)) this.#fault('ends', `${id} ended twice`)
    // Who asked for the text at the end gets none of a turn that failed.
    if (frame.type === 'error' && this.#joined.has(id)) view.isWhole = false
    view.end = String(frame.finishReason)
    this.#ended.add(id)
    for (const set of [this.open, this.own, this.#joined]) set.delete(id)
  }

  #retellEnd (frame: Frame, { id, seq }: { id: string, seq: number }): void {
    const turn = this.#turn(id)
    const view = this.session.turns.get(id)
    if (frame.id !== id || frame.seq !== seq || frame.done !== true || turn?.end === undefined || view === undefined) {
      return this.#fault('ends', `${id} ended before, told was ${quoted(frame)}`)
    }
    this.#report.count('retold')
    if (frame.finishReason !== turn.end.finishReason || frame.code !== turn.end.error?.code) this.#fault('ends', `${quoted(turn.end)} was told again as ${quoted(frame)}`)
    if (frame.type === 'message') view.text = String(frame.content)
    view.end = String(frame.finishReason)
    // Recalled from the history, where whole messages stand between the text.
    view.isWhole = !this.#truth.entriesOf(turn).some(({ kind }) => kind === 'message')
    this.open.delete(id)
  }

  #compare (frame: Frame, told: Entry[]): void {
    const last = told.at(-1)
    if (last === undefined || last.seq !== frame.seq) return this.#fault('order', `nothing was to be told at ${quoted(frame)} after ${this.seq}`)
    const isPiece = frame.type === 'stream' && frame.done === false
    const others = told.filter((entry) => entry !== last && !(isPiece && entry.kind === 'text' && entry.turnId === frame.id))
    if (others.length > 0) return this.#fault('order', `left out before ${quoted(frame)}: ${quoted(others)}`)
    if (last.turnId !== frame.id) return this.#fault('order', `of another turn than ${quoted(last)}: ${quoted(frame)}`)
    const content = told.map((entry) => entry.kind === 'text' ? entry.content : '').join('')
    if (isPiece ? last.kind !== 'text' || content !== frame.content : !this.#isSame(frame, last)) {
      this.#fault(frame.done === true ? 'ends' : 'text', `${quoted(isPiece ? content : last)} was told as ${quoted(frame)}`)
    }
  }

  #isSame (frame: Frame, entry: Entry): boolean {
    switch (entry.kind) {
      case 'text': return false
      case 'message': return frame.type === 'message' && frame.done === false && frame.content === entry.content
      case 'event': return frame.type === 'event' && frame.name === entry.name && JSON.stringify(frame.data) === entry.json
      case 'end': return this.#isSameEnd(frame, entry)
    }
  }

  #isSameEnd (frame: Frame, { end, turnId, seq }: Entry & { kind: 'end' }): boolean {
    if (frame.done !== true || frame.finishReason !== end.finishReason || frame.code !== end.error?.code) return false
    if (end.error !== undefined) return frame.type === 'error'
    const turn = this.#turn(turnId ?? '')
    const joined = this.#joined.has(turnId ?? '') && turn !== undefined ? this.#truth.textOf(turn, seq) : undefined
    const content = end.content ?? joined
    return content === undefined ? frame.type === 'stream' && frame.content === '' : frame.type === 'message' && frame.content === content
  }

  #turn (id: string): TurnTruth | undefined {
    return this.#truth.turns.get(id)
  }

  #fault (check: Parameters<Report['fault']>[0], text: string): void {
    const { owner, agentId, sessionId } = this.session.key
    this.#report.fault(check, `${owner}/${agentId}/${sessionId}${this.isWhole ? '' : ' (own turns)'}: ${text}`)
  }
}

interface Ack {
  id: string
  epoch: string
  seq: number
  status: string
  content?: string
}

interface Subscribed {
  epoch: string
  seq: number
  recovered: boolean
  turns: Array<{ id: string, status: string, message: string, content?: string }>
}

export function quoted (value: unknown): string {
  const text = JSON.stringify(value) as string | undefined ?? 'nothing'
  return text.length < 260 ? text : `${text.slice(0, 160)} … ${text.slice(-80)} (${text.length})`
}
