import { FAILURE, NOTE, digestOf } from './agents.js'
import type { Fields } from './oracle.js'
import { OpenChat, type Claim, type SessionView } from './session-view.js'

/** What one connection is to be told of one session: its own tracked turns, or all that happens. */
export class FeedModel {
  /** It follows the whole session once all is answered that was asked. */
  willBeWhole = false
  readonly #view: SessionView
  readonly #onAnswered: () => void
  #isWhole = false
  #epoch: unknown
  #seq = 0
  /** Asked in this order, and not answered. */
  readonly #asked: Asked[] = []
  /** Chats of this connection that were acknowledged, or are told here without that, until their ends. */
  #own: OwnChat[] = []
  /** Plain chats of which it is not known yet under which id they are told. */
  #unnamed: OwnChat[] = []
  /** Those that were taken for answered, and may yet be refused: another turn may have been taken for theirs. */
  readonly #doubtful: OwnChat[] = []
  /** One of the turns with ids made by the server is read as one message; which one it is nobody says. */
  #hasJoinedPlain = false
  #turns = new Map<unknown, FeedTurn>()
  readonly #ended = new Set<unknown>()
  /** The end that may come again right behind the `ack` of a duplicate. */
  #again: { id: unknown, seq: unknown } | undefined

  constructor (view: SessionView, onAnswered: () => void) {
    this.#view = view
    this.#onAnswered = onAnswered
  }

  /** Frames without an answer. */
  get open (): number { return this.#asked.length + this.#own.length + this.#unnamed.length }

  get hasUnnamed (): boolean { return this.#unnamed.length > 0 }

  /** Nothing more is to be told. */
  get isOver (): boolean { return !this.#isWhole && !this.willBeWhole && this.open === 0 && this.#doubtful.length === 0 }

  /** Whether a frame of that id, other than a chat, waits for its answer here. */
  hasAsked (id: unknown, isChat: boolean): boolean {
    return this.#asked.some((asked) => asked.id === id && !(isChat && asked.kind === 'chat')) || (!isChat && this.#own.some((chat) => chat.id === id))
  }

  hasOwn (id: unknown): boolean {
    return this.#own.some((chat) => chat.id === id) || this.#asked.some((asked) => asked.kind === 'chat' && asked.id === id)
  }

  chat (frame: Fields): void {
    const chat = this.#chatOf(frame)
    const body = bodyOf(frame)
    let claim = this.#view.claims.get(String(frame['id']))
    if (claim === undefined) this.#view.claims.set(String(frame['id']), claim = { sentByBody: new Map(), accepted: 0 })
    claim.sentByBody.set(body, (claim.sentByBody.get(body) ?? 0) + 1)
    this.#asked.push({ kind: 'chat', id: frame['id'], chat, claim, body })
  }

  /** A chat without an id to a session that is followed as a whole. */
  plainChat (frame: Fields): void {
    this.#hasJoinedPlain ||= frame['stream'] === false
    this.#unnamed.push(this.#chatOf(frame))
  }

  ask (kind: 'subscribe' | 'unsubscribe', id: unknown): void {
    this.willBeWhole = kind === 'subscribe'
    this.#asked.push({ kind, id })
  }

  /** Whether an `error` is the answer of what was asked here first. */
  takeRefusal (code: unknown, id: unknown): boolean {
    const [first] = this.#asked
    if (first?.kind !== 'chat' || first.id !== id || !isLawful(code, first)) return false
    this.#asked.shift()
    this.#answered(first.chat)
    return true
  }

  /** Whether a plain `error` is the answer of a plain chat that was to be told here. */
  takePlainRefusal (code: unknown): boolean {
    const isIt = (chat: OwnChat): boolean => chat.place.isFull(code) || (code === 'AGENT_NOT_FOUND' && chat.isToNobody)
    const refused = this.#unnamed.find(isIt)
    if (refused !== undefined) {
      this.#unnamed = this.#unnamed.filter((chat) => chat !== refused)
      this.#answered(refused)
      return true
    }
    const index = this.#doubtful.findIndex(isIt)
    if (index >= 0) this.#doubtful.splice(index, 1)
    return index >= 0
  }

  /** What is wrong about a frame of this session. */
  take (frame: Fields): string | undefined {
    const again = this.#again
    this.#again = undefined
    switch (frame['type']) {
      case 'ack': return this.#takeAck(frame)
      case 'subscribed': return this.#takeSubscribed(frame)
      case 'unsubscribed': return this.#takeUnsubscribed(frame)
      default: return this.#takeEntry(frame, again)
    }
  }

  /** These turns were stopped, as the server says: their ends have to follow. */
  expectAborts (turns: readonly unknown[]): string | undefined {
    for (const id of turns) {
      if (this.#ended.has(id)) return 'a turn that was cancelled had its end before the answer'
      const turn = this.#turns.get(id)
      if (turn !== undefined) turn.mustAbort = true
    }
    return undefined
  }

  /** The connection is gone. */
  end (): void {
    const asked = this.#asked.flatMap((asked) => asked.kind === 'chat' ? [asked.chat] : [])
    for (const chat of [...asked, ...this.#own, ...this.#unnamed]) chat.place.abandon()
  }

  #takeAck ({ id, status, content, epoch, seq }: Fields): string | undefined {
    const asked = this.#asked.shift()
    if (asked?.kind !== 'chat' || asked.id !== id) return 'nothing to acknowledge, or not yet'
    const { chat, claim, body } = asked
    this.#own.push(chat)
    this.#turns.set(id, turnOf(chat.answer, textOf(content), status !== 'duplicate'))
    if (status === 'duplicate') this.#again = { id, seq }
    const fault = this.#moveTo(epoch, seq)
    if (fault !== undefined) return fault
    if (status === 'duplicate') return (claim.sentByBody.get(body) ?? 0) > 1 ? undefined : 'a duplicate of what was sent once'
    return ++claim.accepted > 1 ? 'a chat was accepted twice' : undefined
  }

  #takeSubscribed ({ id, epoch, seq, recovered, turns }: Fields): string | undefined {
    const [first] = this.#asked
    const isAsked = first?.kind === 'subscribe' && first.id === id
    if (!isAsked && !this.#isWhole && this.#own.length === 0) return 'subscribed, and nobody asked'
    if (isAsked) {
      this.#asked.shift()
      this.#onAnswered()
      this.#isWhole = true
    }
    if (recovered !== false || !Array.isArray(turns)) return 'no such epoch was ever told'
    this.#turns = new Map()
    for (const turn of turns as Fields[]) {
      const isRunning = turn['status'] === 'running'
      if (isRunning !== (typeof turn['content'] === 'string')) return 'a running turn without its text, or a waiting one with'
      this.#turns.set(turn['id'], turnOf(this.#answerOf(turn), textOf(turn['content']), !isRunning))
      this.#name(turn['id'], turn)
    }
    // What has ended behind this reader's back is in the history.
    const isOpen = (chat: OwnChat): boolean => this.#turns.has(chat.id)
    for (const chat of [...this.#own.filter((chat) => !isOpen(chat)), ...this.#unnamed]) this.#answered(chat)
    this.#own = this.#own.filter(isOpen)
    this.#unnamed = []
    return this.#moveTo(epoch, seq)
  }

  #takeUnsubscribed ({ id }: Fields): string | undefined {
    const asked = this.#asked.shift()
    if (asked?.kind !== 'unsubscribe' || asked.id !== id) return 'nobody asked, or not yet'
    this.#onAnswered()
    this.#isWhole = false
    for (const turnId of [...this.#turns.keys()]) if (!this.#mayBeOwn(turnId)) this.#turns.delete(turnId)
    return undefined
  }

  #takeEntry (frame: Fields, again: { id: unknown, seq: unknown } | undefined): string | undefined {
    const { type, id, seq, done } = frame
    const isAgain = done === true && again?.id === id && again?.seq === seq
    const rises = isAgain || Number(seq) > this.#seq
    this.#seq = Number(seq)
    if (!rises) return 'the position does not rise'
    if (type === 'event' && frame['name'] === 'turn-started') return this.#takeStart(frame)
    const turn = this.#turns.get(id)
    if (turn === undefined) return done === true ? this.#takeUnseenEnd(frame) : 'a turn that is not told here'
    if (!this.#isWhole && !this.#mayBeOwn(id)) return 'a turn of somebody else\'s'
    if (done === true) return this.#takeEnd(frame, turn)
    if (type === 'event') return frame['name'] === 'progress' && Number.isInteger(frame['data']) ? undefined : 'no event of that agent'
    if (type === 'message') return frame['content'] === NOTE && this.#view.agentId === 'slow' && ++turn.notes === 1 ? undefined : 'no message of that agent'
    if (this.#isJoined(id) || frame['content'] === '') return 'a piece that was not to be, or an empty one'
    turn.text += String(frame['content'])
    return undefined
  }

  #takeStart ({ id, data }: Fields): string | undefined {
    this.#name(id, data as Fields)
    if (!this.#isWhole && !this.#mayBeOwn(id)) return 'a turn of somebody else\'s has begun'
    const answer = this.#answerOf(data as Fields)
    const turn = this.#turns.get(id)
    if (turn === undefined) this.#turns.set(id, turnOf(answer, '', true))
    else if (turn.text !== '' || turn.answer !== answer) return 'a turn that had begun before, or with another question'
    return undefined
  }

  /** The end of a turn that never ran, and of which nothing was told. */
  #takeUnseenEnd ({ id, finishReason, content }: Fields): string | undefined {
    const [chat] = this.#unnamed
    if (!this.#isWhole && chat === undefined && !this.#mayBeOwn(id)) return 'the end of somebody else\'s turn'
    if (finishReason !== 'aborted' || content !== '') return 'the end of a turn of which nothing was told'
    this.#ended.add(id)
    if (chat === undefined) return undefined
    this.#unnamed.shift()
    this.#doubtful.push(chat)
    this.#answered(chat)
    return undefined
  }

  #takeEnd (frame: Fields, turn: FeedTurn): string | undefined {
    const { id } = frame
    const isJoined = this.#isJoined(id)
    const isOwn = this.#mayBeOwn(id)
    this.#turns.delete(id)
    this.#ended.add(id)
    for (const chat of this.#own) if (chat.id === id) this.#answered(chat)
    this.#own = this.#own.filter((chat) => chat.id !== id)
    if (!this.#isWhole && !isOwn) return 'the end of somebody else\'s turn'
    return this.#endFault(frame, turn, isJoined)
  }

  #endFault ({ type, id, content, code, message, finishReason }: Fields, turn: FeedTurn, isJoined: boolean): string | undefined {
    const { agentId, stops, isVague } = this.#view
    if (turn.mustAbort && finishReason !== 'aborted') return 'it was cancelled, and ends otherwise'
    if (type === 'error') {
      const isTold = agentId === 'failing' && code === 'AGENT_ERROR' && message === FAILURE
      return isTold && finishReason === 'error' ? undefined : 'an error that was not to be'
    }
    if (type === 'stream' && content !== '') return 'the last piece is not empty'
    const text = type === 'message' ? String(content) : turn.text
    const isFit = (type === 'message') === (isJoined || agentId === 'main') || (this.#hasJoinedPlain && isServerMade(id))
    if (finishReason === 'aborted') {
      if (stops === 0 && !isVague) return 'nobody has stopped a turn of that session'
      return turn.answer.startsWith(text.replace(/\ufffd$/, '')) ? undefined : `expected a part of ${JSON.stringify(turn.answer)}, got ${JSON.stringify(text)}`
    }
    if (finishReason !== 'stop' || agentId === 'failing') return 'the wrong reason'
    if (text !== turn.answer) return `expected the answer ${JSON.stringify(turn.answer)}, got ${JSON.stringify(text)}`
    if (turn.isFromStart && (agentId === 'slow') !== (turn.notes === 1)) return 'a message was lost'
    return isFit ? undefined : 'the wrong kind of end'
  }

  /** A plain chat that is told here is known by what it says. */
  #name (id: unknown, said: Fields): void {
    const chat = !isServerMade(id) || this.#isOwn(id) ? undefined : this.#unnamed.find(({ body }) => body === bodyOf(said))
    if (chat === undefined) return
    this.#unnamed = this.#unnamed.filter((other) => other !== chat)
    this.#doubtful.push(chat)
    this.#own.push({ ...chat, id })
  }

  #moveTo (epoch: unknown, seq: unknown): string | undefined {
    const isForward = this.#epoch === undefined || (epoch === this.#epoch && Number(seq) >= this.#seq)
    this.#epoch = epoch
    this.#seq = Number(seq)
    return isForward ? undefined : 'the position falls back, or is of another epoch'
  }

  #isOwn (id: unknown): boolean {
    return this.#own.some((chat) => chat.id === id)
  }

  /** Also where another turn was taken for the one that this connection has begun. */
  #mayBeOwn (id: unknown): boolean {
    return this.#isOwn(id) || (isServerMade(id) && this.#doubtful.length > 0)
  }

  #isJoined (id: unknown): boolean {
    return !isServerMade(id) && this.#own.some((chat) => chat.id === id && !chat.isStreamed)
  }

  #answered ({ place }: OwnChat): void {
    place.settle()
    this.#onAnswered()
  }

  #answerOf ({ message, metadata }: Fields): string {
    return digestOf(String(message), metadata).toWellFormed()
  }

  #chatOf (frame: Fields): OwnChat {
    return {
      id: frame['id'],
      place: new OpenChat(this.#view, frame['onBusy']),
      isStreamed: frame['stream'] !== false,
      isToNobody: !AGENTS.includes(this.#view.agentId),
      answer: this.#answerOf(frame),
      body: bodyOf(frame)
    }
  }
}

function isServerMade (id: unknown): boolean {
  return typeof id === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)
}

/** The agents that there are. */
export const AGENTS = ['main', 'words', 'slow', 'failing']

function isLawful (code: unknown, { chat, claim }: Extract<Asked, { kind: 'chat' }>): boolean {
  if (code === 'AGENT_NOT_FOUND') return chat.isToNobody
  if (code === 'ID_CONFLICT') return claim.sentByBody.size > 1
  return chat.place.isFull(code)
}

function textOf (content: unknown): string {
  return typeof content === 'string' ? content : ''
}

function turnOf (answer: string, text: string, isFromStart: boolean): FeedTurn {
  return { answer, text, isFromStart, notes: 0, mustAbort: false }
}

/** What two chats have to have in common to be the same, whatever the order of keys. */
function bodyOf ({ message, metadata }: Fields): string {
  return JSON.stringify([message, metadata], (_, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([one], [other]) => one < other ? -1 : 1))
  })
}

type Asked =
  | { kind: 'chat', id: unknown, chat: OwnChat, claim: Claim, body: string }
  | { kind: 'subscribe' | 'unsubscribe', id: unknown }

interface OwnChat {
  id: unknown
  place: OpenChat
  isStreamed: boolean
  isToNobody: boolean
  answer: string
  body: string
}

/** A turn that is being told, and what has come of it. */
interface FeedTurn {
  answer: string
  text: string
  /** All that it writes is told here. */
  isFromStart: boolean
  notes: number
  mustAbort: boolean
}
