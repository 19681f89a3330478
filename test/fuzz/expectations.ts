import { FAILURE, NOTE, digestOf } from './agents.js'
import type { Fields, Verdict } from './oracle.js'

/** What a connection says for all its frames. */
export interface Defaults {
  agentId?: string
  sessionId?: string
}

/** A session as its clients know it: all that runs there may matter to each. */
export interface SessionView {
  /** Chats that were sent and not answered to their end. */
  open: number
  openInterrupts: number
  /** Chats, and those among them that interrupt, ever sent. */
  sent: number
  interrupts: number
  /** A connection was lost with chats of this session: what became of them nobody knows. */
  isVague: boolean
}

/** What has to come for one frame that is no plain chat. */
interface ExpectedReply {
  /** The errors that it may be; none for a pong. */
  codes: readonly string[]
  id?: string
}

/** Takes the frames of one connection, and says what is wrong about them. */
export class Expectations {
  answered = 0
  readonly #defaults: Defaults
  readonly #sessions: Map<string, SessionView>
  /** The connection's own sessions, by agent. */
  readonly #own = new Map<string, SessionView>()
  readonly #onFault: (fault: string) => void
  readonly #pongs: ExpectedReply[] = []
  readonly #refusals: ExpectedReply[] = []
  readonly #chatsByAgent = new Map<string, ExpectedChat[]>()
  #chats = 0

  constructor (defaults: Defaults, sessions: Map<string, SessionView>, onFault: (fault: string) => void) {
    this.#defaults = defaults
    this.#sessions = sessions
    this.#onFault = onFault
  }

  /** Frames without an answer. */
  get open (): number {
    return this.#pongs.length + this.#refusals.length + this.#chats
  }

  add (verdict: Exclude<Verdict, { kind: 'close' }>): void {
    if (verdict.kind === 'good') return this.#addGood(verdict.frame)
    const { codes, id, plainChat } = verdict
    if (plainChat !== undefined) this.#addChat(refusedChat(this.#agentId(plainChat.agentId), codes))
    else this.#refusals.push({ codes, ...idOf(id) })
  }

  take (text: string): void {
    const frame = JSON.parse(text) as Fields
    const fault = shapeFault(frame) ?? this.#match(frame)
    if (fault !== undefined) this.#onFault(`${fault}: ${text}`)
  }

  /**
   * The connection is gone. Answers how many frames will have no answer: with a close only those may that take a while.
   * @param isCut whether it went without a close
   */
  end (isCut: boolean): number {
    const replies = [...this.#pongs, ...this.#refusals]
    if (!isCut) for (const reply of replies) this.#onFault(`no answer before the close: ${JSON.stringify(reply)}`)
    for (const chat of [...this.#chatsByAgent.values()].flat()) {
      if (chat.session !== undefined) chat.session.isVague = true
      settle(chat)
    }
    return this.open
  }

  #addGood (frame: Fields & { type: string }): void {
    const id = idOf(frame['id'])
    if (frame.type === 'ping') this.#pongs.push({ codes: [], ...id })
    else if (frame.type === 'chat' && frame['id'] === undefined) this.#addChat(this.#openChat(frame))
    else {
      // What is beyond plain is not offered.
      this.#refusals.push({ codes: [frame.type === 'chat' ? 'VALIDATION_FAILED' : 'UNKNOWN_TYPE'], ...id })
    }
  }

  #openChat (frame: Fields): ExpectedChat {
    const agentId = this.#agentId(frame['agentId'])
    const code = hostCode(frame['sessionId']) ?? (AGENTS.includes(agentId) ? undefined : 'AGENT_NOT_FOUND')
    if (code !== undefined) return refusedChat(agentId, [code])
    const session = this.#session(agentId, frame['sessionId'])
    const codes: string[] = agentId === 'failing' ? ['AGENT_ERROR'] : []
    const chat = {
      agentId,
      codes,
      session,
      isRejectable: frame['onBusy'] === 'reject',
      openBefore: session.open,
      sentBefore: ++session.sent,
      isStreamed: frame['stream'] !== false,
      isInterrupt: frame['onBusy'] === 'interrupt',
      // Whoever interrupts may be heard only after this chat, though it spoke before.
      mayBeCut: session.openInterrupts > 0,
      interruptsBefore: session.interrupts,
      answer: agentId === 'failing' ? undefined : digestOf(String(frame['message']), frame['metadata']).toWellFormed(),
      text: '',
      notes: 0
    }
    session.open++
    if (chat.isInterrupt) {
      session.openInterrupts++
      session.interrupts++
      chat.interruptsBefore++
    }
    return chat
  }

  #addChat (chat: ExpectedChat): void {
    const chats = this.#chatsByAgent.get(chat.agentId) ?? []
    chats.push(chat)
    this.#chatsByAgent.set(chat.agentId, chats)
    this.#chats++
  }

  #match (frame: Fields): string | undefined {
    if (frame['type'] === 'pong') return this.#matchPong(frame)
    if (frame['agentId'] === undefined) return this.#matchRefusal(frame)
    const chats = this.#chatsByAgent.get(frame['agentId'] as string) ?? []
    const [chat] = chats
    if (chat === undefined) return 'nobody asked that agent'
    const fault = chatFault(frame, chat)
    if (frame['done'] !== true) return fault
    chats.shift()
    this.#chats--
    this.answered++
    settle(chat)
    return fault
  }

  #matchPong (frame: Fields): string | undefined {
    const first = this.#pongs.shift()
    this.answered++
    return first?.id === frame['id'] && first !== undefined ? undefined : `expected ${JSON.stringify(first)}`
  }

  #matchRefusal ({ code, id }: Fields): string | undefined {
    const first = this.#refusals.shift()
    this.answered++
    return first?.id === id && first?.codes.includes(code as string) === true ? undefined : `expected ${JSON.stringify(first)}`
  }

  #agentId (named: unknown): string {
    return typeof named === 'string' ? named : this.#defaults.agentId ?? 'main'
  }

  #session (agentId: string, named: unknown): SessionView {
    const sessionId = typeof named === 'string' ? named : this.#defaults.sessionId
    const [sessions, key] = sessionId === undefined
      ? [this.#own, agentId]
      : [this.#sessions, JSON.stringify([agentId, sessionId])]
    let session = sessions.get(key)
    if (session === undefined) {
      session = { open: 0, openInterrupts: 0, sent: 0, interrupts: 0, isVague: false }
      sessions.set(key, session)
    }
    return session
  }
}

/** Chats that may wait in one session. */
export const MAX_QUEUED_TURNS = 10

const AGENTS = ['main', 'words', 'slow', 'failing']

/** Section 6 of the protocol: the codes that a fuzz run can meet, and whether the same frame may be sent again. */
const RETRYABLE = new Map<unknown, boolean>([
  ['INVALID_FRAME', false], ['UNKNOWN_TYPE', false], ['VALIDATION_FAILED', false], ['AGENT_NOT_FOUND', false], ['FORBIDDEN', false],
  ['SESSION_BUSY', true], ['QUEUE_FULL', true], ['AGENT_ERROR', true], ['INTERNAL', true]
])

/** Keys in the order in which they have to stand; what stands in brackets may be missing. */
const KEYS = new Map<unknown, RegExp>([
  ['pong', /^type(,id)?$/],
  ['stream', /^type,agentId,content,done$/],
  ['message', /^type,agentId,content,done$/],
  ['error', /^type(,agentId,code,message,retryable,done|,code,message,retryable)(,details)?(,retryAfterMs)?(,id)?$/]
])

function shapeFault (frame: Fields): string | undefined {
  if (KEYS.get(frame['type'])?.test(Object.keys(frame).join()) !== true) return 'not the keys of a frame, or not in their order'
  if (frame['type'] !== 'error') return undefined
  if (RETRYABLE.get(frame['code']) !== frame['retryable']) return 'a code that was not to come, or wrong advice'
  if (typeof frame['message'] !== 'string' || frame['message'] === '') return 'no text'
  if (frame['code'] === 'VALIDATION_FAILED' && !isDetails(frame['details'])) return 'no details'
  return undefined
}

function isDetails (value: unknown): boolean {
  const { path, rule } = Object(value) as Fields
  return typeof path === 'string' && /^(\/|$)/.test(path) && path.length <= 256 && typeof rule === 'string' && rule !== ''
}

function chatFault (frame: Fields, chat: ExpectedChat): string | undefined {
  if (frame['type'] === 'error') {
    if (isFull(frame['code'], chat)) return undefined
    if (!chat.codes.includes(frame['code'] as string)) return `expected ${chat.codes.join(' or ') || 'an answer'}`
    return frame['code'] === 'AGENT_ERROR' && frame['message'] !== FAILURE ? `expected the text ${FAILURE}` : undefined
  }
  if (chat.session === undefined) return `expected ${chat.codes.join(' or ')}`
  return frame['done'] === true ? endFault(frame, chat) : pieceFault(frame, chat)
}

/** Whether there may have been too many others. One sent later may have been heard earlier, over another connection. */
function isFull (code: unknown, { session, isRejectable, openBefore, sentBefore }: ExpectedChat): boolean {
  if (session === undefined) return false
  const others = session.isVague ? Infinity : openBefore + session.sent - sentBefore
  return (code === 'SESSION_BUSY' && isRejectable && others > 0) || (code === 'QUEUE_FULL' && others >= MAX_QUEUED_TURNS)
}

function pieceFault ({ type, content }: Fields, chat: ExpectedChat): string | undefined {
  if (type === 'message') return content === NOTE && chat.agentId === 'slow' && ++chat.notes === 1 ? undefined : 'no message of that agent'
  if (!chat.isStreamed || content === '') return 'an answer in pieces that was not to be, or an empty piece'
  chat.text += String(content)
  return undefined
}

function endFault ({ type, content }: Fields, chat: ExpectedChat): string | undefined {
  const { answer, session } = chat
  chat.text += String(content)
  const wasCut = chat.mayBeCut || session?.isVague === true || (session !== undefined && session.interrupts > chat.interruptsBefore)
  if (wasCut && (answer ?? '').startsWith(chat.text.replace(/\ufffd$/, ''))) return undefined
  if (chat.text !== answer) return `expected the answer ${JSON.stringify(answer)}, got ${JSON.stringify(chat.text)}`
  if ((chat.agentId === 'slow') !== (chat.notes === 1)) return 'a message was lost'
  const isStream = chat.isStreamed && chat.agentId !== 'main'
  if (type !== (isStream ? 'stream' : 'message')) return 'the wrong kind of end'
  return isStream && content !== '' ? 'the last piece is not empty' : undefined
}

/** It is over for the session too. */
function settle ({ session, isInterrupt }: ExpectedChat): void {
  if (session === undefined) return
  session.open--
  if (isInterrupt) session.openInterrupts--
}

/** What the host's `authorize` makes of a frame. */
function hostCode (sessionId: unknown): string | undefined {
  if (sessionId === 'forbidden') return 'FORBIDDEN'
  return sessionId === 'throws' || sessionId === 'rejects' ? 'INTERNAL' : undefined
}

function refusedChat (agentId: string, codes: readonly string[]): ExpectedChat {
  return {
    agentId, codes, isStreamed: true, isRejectable: false, openBefore: 0, sentBefore: 0,
    isInterrupt: false, mayBeCut: false, interruptsBefore: 0, answer: undefined, text: '', notes: 0
  }
}

function idOf (id: unknown): { id?: string } {
  return typeof id === 'string' ? { id } : {}
}

interface ExpectedChat {
  agentId: string
  /** The errors it may end with. */
  codes: readonly string[]
  /** Missing where it is to be refused before any session is looked at. */
  session?: SessionView
  isStreamed: boolean
  isRejectable: boolean
  openBefore: number
  sentBefore: number
  isInterrupt: boolean
  /** Part of the answer may be all. */
  mayBeCut: boolean
  interruptsBefore: number
  answer: string | undefined
  text: string
  notes: number
}
