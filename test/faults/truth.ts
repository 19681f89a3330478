import type { Entry, NewEntry, StoredChat, TurnEnd } from '../../lib/journal/journal.js'
import { sessionKeyText, type SessionKey } from '../../lib/protocol/session-key.js'

/** What really happened: every entry of every session, and every turn, whatever the journal under test still holds. */
export class Truth {
  readonly #sessions = new Map<string, SessionTruth>()
  readonly #turnByMessage = new Map<string, TurnTruth>()

  session (key: SessionKey): SessionTruth {
    const text = sessionKeyText(key)
    let session = this.#sessions.get(text)
    if (session === undefined) this.#sessions.set(text, session = new SessionTruth(key))
    return session
  }

  known (key: SessionKey): SessionTruth | undefined {
    return this.#sessions.get(sessionKeyText(key))
  }

  all (): SessionTruth[] {
    return [...this.#sessions.values()]
  }

  accepted (key: SessionKey, chat: StoredChat, epoch: string): TurnTruth {
    const session = this.session(key)
    const turn: TurnTruth = {
      key,
      chat,
      epoch,
      accepts: (session.turns.get(chat.turnId)?.accepts ?? 0) + 1,
      startSeq: undefined,
      endSeq: undefined,
      end: undefined,
      isStopped: false
    }
    session.turns.set(chat.turnId, turn)
    this.#turnByMessage.set(chat.message, turn)
    return turn
  }

  /** Messages are told apart by their senders. */
  turnOf (message: string): TurnTruth | undefined {
    return this.#turnByMessage.get(message)
  }

  openTurns (): TurnTruth[] {
    return this.all().flatMap(({ turns }) => [...turns.values()].filter(({ end }) => end === undefined))
  }
}

export class SessionTruth {
  readonly key: SessionKey
  readonly turns = new Map<string, TurnTruth>()
  /** The id of the turn that has the right to run. */
  running: string | undefined
  epoch: string | undefined
  readonly epochs = new Set<string>()
  readonly #entries = new Map<string, Entry[]>()

  constructor (key: SessionKey) {
    this.key = key
  }

  /** Its journal is of that epoch now. */
  enter (epoch: string): void {
    this.epoch = epoch
    this.epochs.add(epoch)
  }

  top (epoch = this.epoch): number {
    return this.#entries.get(epoch ?? '')?.length ?? 0
  }

  write (epoch: string, seq: number, turnId: string | undefined, entry: NewEntry): void {
    this.enter(epoch)
    let entries = this.#entries.get(epoch)
    if (entries === undefined) this.#entries.set(epoch, entries = [])
    if (entries[seq - 1] !== undefined) throw new Error(`two entries ${seq} in ${epoch}`)
    entries[seq - 1] = { ...entry, turnId, seq }
    const turn = this.turns.get(turnId ?? '')
    if (turn === undefined) return
    if (entry.kind === 'end') Object.assign(turn, { end: entry.end, endSeq: seq })
    else turn.startSeq ??= seq
  }

  /** Entries after one position up to another. */
  between (epoch: string, after: number, upTo: number): Entry[] {
    return (this.#entries.get(epoch) ?? []).slice(after, upTo)
  }

  /** A turn's entries up to a position. */
  entriesOf ({ chat, epoch, startSeq, endSeq }: TurnTruth, upTo = Infinity): Entry[] {
    const first = startSeq ?? endSeq
    if (first === undefined) return []
    return this.between(epoch, first - 1, Math.min(upTo, endSeq ?? Infinity)).filter(({ turnId }) => turnId === chat.turnId)
  }

  /** A turn's text up to a position. */
  textOf (turn: TurnTruth, upTo = Infinity): string {
    return this.entriesOf(turn, upTo).map((entry) => entry.kind === 'text' ? entry.content : '').join('')
  }

  /** As the history should have it: text and whole messages as paragraphs. */
  answerOf (turn: TurnTruth): string {
    if (turn.end?.content !== undefined) return turn.end.content
    const paragraphs: string[] = []
    let text = ''
    for (const entry of this.entriesOf(turn)) {
      if (entry.kind === 'text') text += entry.content
      if (entry.kind !== 'message') continue
      paragraphs.push(text, entry.content)
      text = ''
    }
    return [...paragraphs, text].filter((paragraph) => paragraph !== '').join('\n\n')
  }
}

export interface TurnTruth {
  readonly key: SessionKey
  readonly chat: StoredChat
  readonly epoch: string
  /** How often a chat of this id was accepted. */
  readonly accepts: number
  startSeq: number | undefined
  endSeq: number | undefined
  end: TurnEnd | undefined
  /** Somebody has asked that it be stopped. */
  isStopped: boolean
  /** A client was told that it is. */
  isCancelled?: boolean
}
