import type { NewEntry, StoredChat } from '../journal.js'
import { MemoryTurn } from '../memory-turn.js'
import { SessionLog, type SessionLogLimits } from '../session-log.js'
import { TurnText } from '../turn-text.js'
import { TURN_STARTED } from '../../protocol/names.js'
import { decodeKept, type Message } from './redis-entries.js'
import type { SessionPlace } from './redis-keys.js'

/** All that Redis has of a session at one moment, or what follows a place in it. */
export interface Snapshot {
  epoch: string
  seq: number
  version: number
  /** Only what follows the place that was asked for. */
  isMore: boolean
  messages: Message[]
  /** Chats that wait. */
  waiting: StoredChat[]
  /** The turn that runs and has no end, and the last entry before it began. */
  running: { chat: StoredChat, begunBehind: number } | undefined
  /** What the running turn has said, where all was asked for. */
  said: string
}

/** Where a session was when it took a chat. */
export interface AcceptedAt {
  epoch: string
  /** Of what readers see. */
  version: number
  /** The same when what came with it was done too: it may have begun to run. */
  through: number
  chat: StoredChat
  /** There was no such session before. */
  isNew: boolean
}

/** All that there is of a session that a chat has made. */
export function newSession ({ epoch, version, chat }: AcceptedAt): Snapshot {
  return { epoch, seq: 0, version, isMore: false, messages: [], waiting: [chat], running: undefined, said: '' }
}

/**
 * A session as this node knows it: what Redis has, read once, and since then all that was published. Its readers read it as
 * they would a session in memory.
 */
export class RedisReplica {
  readonly log: SessionLog
  /** The last message that it has taken. */
  version = 0
  readonly #now: () => number

  constructor (place: SessionPlace, snapshot: Snapshot, limits: SessionLogLimits, now: () => number) {
    this.#now = now
    this.log = new SessionLog(place.key, place.text, limits, snapshot.epoch)
    const { ring } = this.log
    ring.first = snapshot.messages[0]?.seq ?? snapshot.seq + 1
    ring.top = ring.first - 1
    this.log.forgottenSeq = ring.top
    const { running } = snapshot
    if (running !== undefined && running.begunBehind < ring.top) this.#resume(running, snapshot.said)
    this.#catchUp(snapshot)
  }

  hasSeen ({ epoch, through }: AcceptedAt): boolean {
    return this.log.epoch === epoch && this.version >= through
  }

  /** Redis had lost what this replica has seen, and has written on since: entries have come, and no version that is new. */
  isOutlivedBy ({ epoch, version, seq }: Snapshot): boolean {
    return epoch === this.log.epoch && version <= this.version && seq > this.log.ring.top
  }

  /** Takes what it lacks of a snapshot that is newer. */
  take (snapshot: Snapshot): void {
    if (snapshot.version > this.version) this.#catchUp(snapshot)
  }

  /** Takes the message that is next; `false`: something between is missing, or Redis has lost what this replica has seen. */
  apply (message: Message): boolean {
    // What is told of a journal that fell back may have a version of before: it is the last of its epoch all the same.
    if (message.body.kind !== 'forgotten') {
      if (message.version <= this.version) return !hasNumber(message) || message.seq <= this.log.ring.top
      if (message.version > this.version + 1) return false
    }
    this.version = message.version
    this.#enter(message)
    return true
  }

  /** Nothing more comes. */
  forget (): void {
    const { log } = this
    log.isForgotten = true
    for (const turn of log.liveTurns) this.#forgetTurn(turn)
    log.wake()
  }

  #catchUp ({ messages, waiting, version }: Snapshot): void {
    for (const message of messages) if (message.seq > this.log.ring.top) this.#enter(message)
    this.#wait(waiting)
    this.version = version
  }

  #enter ({ seq, body }: Message): void {
    switch (body.kind) {
      case 'started': return this.#start(body.chat)
      case 'queued':
        this.log.enqueue(new MemoryTurn(body.chat, this.log))
        return
      case 'retracted': {
        const turn = this.log.unqueue(body.turnId)
        if (turn !== undefined) this.#forgetTurn(turn)
        return
      }
      case 'forgotten': return this.forget()
      case 'entries': {
        const turn = body.turnId === undefined ? undefined : this.#turnOf(body.turnId, body.hasWaited)
        if (turn === undefined) this.#writeLoose(body.turnId, body.entries, seq)
        else this.#write(turn, body.entries)
      }
    }
  }

  #start (chat: StoredChat): void {
    const { log } = this
    const turn = log.unqueue(chat.turnId) ?? new MemoryTurn(chat, log)
    log.running = turn
    turn.isRunning = true
    const { message, metadata } = chat
    const data = metadata === undefined ? { message } : { message, metadata }
    turn.write({ kind: 'event', name: TURN_STARTED, json: JSON.stringify(data) }, this.#now())
    log.wake(turn)
  }

  /** One that was withdrawn before this node knew of it has no text, and nothing but its end. */
  #turnOf (turnId: string, hasWaited: boolean): MemoryTurn | undefined {
    const { log } = this
    if (hasWaited) return log.unqueue(turnId) ?? new MemoryTurn({ turnId, message: '', acceptedAt: 0 }, log)
    return log.running?.turnId === turnId ? log.running : undefined
  }

  #write (turn: MemoryTurn, entries: readonly NewEntry[]): void {
    const { log } = this
    const isUrgent = turn.writeAll(entries, this.#now())
    const hasEnd = turn.end !== undefined
    if (hasEnd) {
      log.keepEnded(turn)
      turn.isRunning = false
      if (log.running === turn) log.running = undefined
    }
    log.wake(turn, isUrgent, false, hasEnd)
    // Whoever waits for readers of a turn that has ended waits for nothing.
    if (hasEnd) turn.resumeIfRead({ entries: Infinity, bytes: Infinity })
  }

  /** Of no turn, or of one whose beginning Redis no longer holds: its whole text cannot be told. */
  #writeLoose (turnId: string | undefined, entries: readonly NewEntry[], seq: number): void {
    for (const entry of entries) this.log.ring.push(entry, turnId, seq++, this.#now())
    this.log.wake(this.log.running)
  }

  /** The running turn began before the oldest entry held. */
  #resume ({ chat, begunBehind }: { chat: StoredChat, begunBehind: number }, said: string): void {
    const { log } = this
    const turn = new MemoryTurn(chat, log)
    const text = new TurnText()
    turn.text = text
    turn.startSeq = begunBehind
    turn.isRunning = true
    turn.forgottenSeq = log.ring.top
    log.running = turn
    for (const { seq, entry } of decodeKept(said)) {
      if (seq > log.ring.top) break
      if (entry.kind === 'message') (turn.messages ??= []).push({ seq, textBefore: text.length, content: entry.content })
      else text.append(entry.content, seq)
      turn.units += entry.content.length
    }
    text.pack(true)
  }

  /** These wait, and no others. */
  #wait (chats: readonly StoredChat[]): void {
    const { log } = this
    const known = new Map(log.queue.map((turn) => [turn.turnId, turn]))
    log.queue = chats.map((chat) => {
      const turn = known.get(chat.turnId) ?? new MemoryTurn(chat, log)
      known.delete(chat.turnId)
      return turn
    })
    for (const turn of known.values()) this.#forgetTurn(turn)
  }

  #forgetTurn (turn: MemoryTurn): void {
    turn.isForgotten = true
    turn.isRunning = false
    turn.wakeCursors()
    turn.resumeIfRead({ entries: Infinity, bytes: Infinity })
  }
}

function hasNumber ({ body: { kind } }: Message): boolean {
  return kind === 'entries' || kind === 'started'
}
