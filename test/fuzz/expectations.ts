import { FAILURE, NOTE, digestOf, noteAnswer } from './agents.js'
import { AGENTS, FeedModel } from './feed-model.js'
import { shapeFault } from './frame-shapes.js'
import { historyFault } from './history-fault.js'
import { HOST_TYPE, type Fields, type Verdict } from './oracle.js'
import { OpenChat, SessionViews, type SessionView } from './session-view.js'

/** What a connection says for all its frames. */
export interface Defaults {
  agentId?: string
  sessionId?: string
}

/** Takes the frames of one connection, and says what is wrong about them. */
export class Expectations {
  answered = 0
  readonly #defaults: Defaults
  readonly #sessions: SessionViews
  /** The connection's own sessions, by agent. */
  readonly #own = new SessionViews()
  readonly #onFault: (fault: string) => void
  readonly #pongs: ExpectedReply[] = []
  /** Bad frames are refused at once, in their order; what is beyond plain is answered by and by. */
  readonly #badFrames: ExpectedReply[] = []
  readonly #requests: Request[] = []
  readonly #chatsByAgent = new Map<string, ExpectedChat[]>()
  readonly #feeds = new Map<string, FeedModel>()
  #chats = 0

  constructor (defaults: Defaults, sessions: SessionViews, onFault: (fault: string) => void) {
    this.#defaults = defaults
    this.#sessions = sessions
    this.#onFault = onFault
  }

  /** Frames without an answer. */
  get open (): number {
    let open = this.#pongs.length + this.#badFrames.length + this.#requests.length + this.#chats
    for (const feed of this.#feeds.values()) open += feed.open
    return open
  }

  /**
   * Whether the frame is only to be sent when all others are answered: an `error` says to what it is the answer by its
   * `id` alone, and the refusal of a plain chat to a followed session stands among those of other plain chats.
   */
  isAlone (verdict: Exclude<Verdict, { kind: 'close' }>): boolean {
    const feeds = [...this.#feeds.values()]
    if (feeds.some((feed) => feed.hasUnnamed)) return true
    if (verdict.kind === 'bad') return verdict.id !== undefined && this.#hasAsked(verdict.id, undefined)
    const { frame } = verdict
    const { id, type } = frame
    if (type === 'ping') return false
    if (id !== undefined) return this.#hasAsked(id, type === 'chat' ? this.#feedOf(frame) : undefined)
    return type === 'chat' && this.#feedOf(frame)?.willBeWhole === true
  }

  add (verdict: Exclude<Verdict, { kind: 'close' }>): void {
    if (verdict.kind === 'good') return this.#addGood(verdict.frame)
    const { codes, id, plainChat } = verdict
    if (plainChat === undefined) this.#badFrames.push({ codes, ...idOf(id) })
    else this.#addChat(refusedChat(this.#agentId(plainChat.agentId), codes))
  }

  take (text: string): void {
    const frame = JSON.parse(text) as Fields
    const fault = shapeFault(frame) ?? this.#match(frame)
    if (fault !== undefined) this.#onFault(`${fault}: ${text}`)
    for (const [key, feed] of this.#feeds) if (feed.isOver) this.#feeds.delete(key)
  }

  /**
   * The connection is gone. Answers how many frames will have no answer.
   * @param mayLackAny whether any may be without: it went without a close, or frames waited for the turn of others. Else only those
   *   may that take a while
   */
  end (mayLackAny: boolean): number {
    const replies = [...this.#pongs, ...this.#badFrames]
    // Above that many requests a connection is not read until they are answered (rule 14), and a bad message ends it first.
    const wasRead = this.open - replies.length <= MAX_PENDING_REQUESTS
    if (!mayLackAny && wasRead) for (const reply of replies) this.#onFault(`no answer before the close: ${JSON.stringify(reply)}`)
    for (const chat of [...this.#chatsByAgent.values()].flat()) chat.place?.abandon()
    for (const feed of this.#feeds.values()) feed.end()
    for (const view of this.#requests.flatMap(({ views }) => views)) {
      view.openStops--
      view.isVague = true
    }
    return this.open
  }

  #addGood (frame: Fields & { type: string }): void {
    const { type, id } = frame
    if (type === 'ping') return void this.#pongs.push({ codes: [], ...idOf(id) })
    if (type === HOST_TYPE) return this.#addNote(frame)
    if (type === 'chat' && id === undefined) return this.#addPlainChat(frame)
    const sessionId = this.#sessionId(frame)
    const code = hostCode(sessionId) ?? (type === 'chat' && sessionId === undefined ? 'VALIDATION_FAILED' : undefined)
    if (code !== undefined) return this.#request({ frame, codes: [code] })
    if (type === 'history') return this.#request({ frame })
    if (type === 'cancel') return this.#addCancel(frame)
    const feed = this.#feed(frame)
    if (type === 'chat') feed.chat(frame)
    else feed.ask(type === 'subscribe' ? 'subscribe' : 'unsubscribe', id)
  }

  #addPlainChat (frame: Fields): void {
    const feed = this.#feedOf(frame)
    if (feed?.willBeWhole === true) feed.plainChat(frame)
    else this.#addChat(this.#openChat(frame))
  }

  #addNote (frame: Fields): void {
    const { text } = frame
    this.#request({ frame, codes: text === 'throw' ? ['INTERNAL'] : text === 'refuse' ? ['SESSION_BUSY'] : [] })
  }

  /** It stops turns of the session that it names, else of one in which the connection has that turn, or of its own. */
  #addCancel (frame: Fields): void {
    const agentId = this.#agentId(frame['agentId'])
    const sessionId = this.#sessionId(frame)
    const views = sessionId === undefined
      ? [this.#own.of(agentId, ''), ...[...this.#feeds].flatMap(([key, feed]) => feed.hasOwn(frame['turnId']) ? [this.#viewOf(key)] : [])]
      : [this.#sessions.of(agentId, sessionId)]
    for (const view of views) {
      view.openStops++
      view.stops++
      view.sent++
    }
    this.#request({ frame, codes: ['TURN_NOT_FOUND'], views })
  }

  #request ({ frame, codes = [], views = [] }: Partial<Request> & { frame: Fields }): void {
    this.#requests.push({ frame, codes, views })
  }

  #openChat (frame: Fields): ExpectedChat {
    const agentId = this.#agentId(frame['agentId'])
    const code = hostCode(frame['sessionId']) ?? (AGENTS.includes(agentId) ? undefined : 'AGENT_NOT_FOUND')
    if (code !== undefined) return refusedChat(agentId, [code])
    const sessionId = this.#sessionId(frame)
    const view = sessionId === undefined ? this.#own.of(agentId, '') : this.#sessions.of(agentId, sessionId)
    return {
      agentId,
      codes: agentId === 'failing' ? ['AGENT_ERROR'] : [],
      place: new OpenChat(view, frame['onBusy']),
      isStreamed: frame['stream'] !== false,
      answer: agentId === 'failing' ? undefined : digestOf(String(frame['message']), frame['metadata']).toWellFormed(),
      text: '',
      notes: 0
    }
  }

  #addChat (chat: ExpectedChat): void {
    const chats = this.#chatsByAgent.get(chat.agentId) ?? []
    chats.push(chat)
    this.#chatsByAgent.set(chat.agentId, chats)
    this.#chats++
  }

  #match (frame: Fields): string | undefined {
    const { type, agentId } = frame
    if (type === 'pong') return this.#matchPong(frame)
    if (type === HOST_TYPE) return this.#matchNote(frame)
    if (type === 'history') return this.#matchHistory(frame)
    if (type === 'cancelled') return this.#matchCancelled(frame)
    // What is told of a session has a position there; only `unsubscribed` needs none.
    if ('seq' in frame || type === 'unsubscribed') return this.#feeds.get(keyOf(agentId, frame['sessionId']))?.take(frame) ?? this.#unknownFeed(frame)
    return agentId === undefined ? this.#matchRefusal(frame) : this.#matchPlain(frame)
  }

  #matchPlain (frame: Fields): string | undefined {
    const { type, agentId, code } = frame
    const chats = this.#chatsByAgent.get(agentId as string) ?? []
    const [chat] = chats
    if (chat === undefined) {
      const isRefusal = type === 'error' && [...this.#feeds].some(([key, feed]) => this.#viewOf(key).agentId === agentId && feed.takePlainRefusal(code))
      return isRefusal ? undefined : 'nobody asked that agent'
    }
    const fault = chatFault(frame, chat)
    if (frame['done'] !== true) return fault
    chats.shift()
    this.#chats--
    this.answered++
    chat.place?.settle()
    return fault
  }

  #matchPong (frame: Fields): string | undefined {
    const first = this.#pongs.shift()
    this.answered++
    return first?.id === frame['id'] && first !== undefined ? undefined : `expected ${JSON.stringify(first)}`
  }

  #matchRefusal ({ code, id }: Fields): string | undefined {
    const [first] = this.#badFrames
    if (first?.id === id && first?.codes.includes(code as string) === true) {
      this.#badFrames.shift()
      this.answered++
      return undefined
    }
    if (this.#take(({ frame, codes }) => frame['id'] === id && codes.includes(code as string)) !== undefined) return undefined
    for (const feed of this.#feeds.values()) if (feed.takeRefusal(code, id)) return undefined
    return `expected ${JSON.stringify(first ?? this.#requests[0])}`
  }

  #matchNote ({ id, data }: Fields): string | undefined {
    const isIt = ({ frame }: Request): boolean => frame['type'] === HOST_TYPE && frame['id'] === id &&
      JSON.stringify(noteAnswer(String(frame['text']), frame['count'] as number | undefined)) === JSON.stringify(data)
    return this.#take(isIt) === undefined ? 'no such note' : undefined
  }

  #matchCancelled ({ id, agentId, sessionId, turns }: Fields): string | undefined {
    if (!Array.isArray(turns) || turns.length === 0 || new Set(turns).size !== turns.length) return 'no turns, or one twice'
    const request = this.#take(({ frame, views }) => frame['type'] === 'cancel' && frame['id'] === id && views.length > 0)
    if (request === undefined) return 'nobody cancelled'
    const { frame } = request
    if (frame['turnId'] !== undefined && (turns.length > 1 || turns[0] !== frame['turnId'])) return 'not the turn that was meant'
    const named = this.#sessionId(frame)
    if (named !== undefined && (named !== sessionId || this.#agentId(frame['agentId']) !== agentId)) return 'not the session that was meant'
    return this.#feeds.get(keyOf(agentId, sessionId))?.expectAborts(turns)
  }

  #matchHistory ({ id, agentId, sessionId, messages, before }: Fields): string | undefined {
    const request = this.#take(({ frame, codes }) => frame['type'] === 'history' && codes.length === 0 && frame['id'] === id &&
      this.#agentId(frame['agentId']) === agentId && frame['sessionId'] === sessionId)
    if (request === undefined) return 'nobody asked for that history'
    const { frame } = request
    if (!Array.isArray(messages) || messages.length > Number(frame['limit'] ?? 50)) return 'more than was asked for'
    if (frame['before'] !== undefined && (messages.length > 0 || before !== undefined)) return 'a page before no cursor of ours'
    return historyFault(messages as Fields[], agentId)
  }

  /** The first request that fits, which is answered now. */
  #take (isIt: (request: Request) => boolean): Request | undefined {
    const index = this.#requests.findIndex(isIt)
    const [request] = index < 0 ? [] : this.#requests.splice(index, 1)
    for (const view of request?.views ?? []) view.openStops--
    if (request !== undefined) this.answered++
    return request
  }

  #hasAsked (id: unknown, ofChat: FeedModel | undefined): boolean {
    return this.#requests.some(({ frame }) => frame['id'] === id) || this.#badFrames.some((bad) => bad.id === id) ||
      [...this.#feeds.values()].some((feed) => feed.hasAsked(id, feed === ofChat))
  }

  #unknownFeed (frame: Fields): string | undefined {
    return this.#feeds.has(keyOf(frame['agentId'], frame['sessionId'])) ? undefined : 'a session that is not followed'
  }

  #feed (frame: Fields): FeedModel {
    const key = keyOf(this.#agentId(frame['agentId']), this.#sessionId(frame))
    let feed = this.#feeds.get(key)
    if (feed === undefined) this.#feeds.set(key, feed = new FeedModel(this.#viewOf(key), () => { this.answered++ }))
    return feed
  }

  #feedOf (frame: Fields): FeedModel | undefined {
    return this.#feeds.get(keyOf(this.#agentId(frame['agentId']), this.#sessionId(frame)))
  }

  #viewOf (key: string): SessionView {
    return this.#sessions.of(...JSON.parse(key) as [string, string])
  }

  #agentId (named: unknown): string {
    return typeof named === 'string' ? named : this.#defaults.agentId ?? 'main'
  }

  /** The connection's default is one for chats and cancels; other frames name their session. */
  #sessionId ({ sessionId }: Fields): string | undefined {
    return typeof sessionId === 'string' ? sessionId : this.#defaults.sessionId
  }
}

/** Requests without an answer, above which a connection is not read. */
export const MAX_PENDING_REQUESTS = 16

function keyOf (agentId: unknown, sessionId: unknown): string {
  return JSON.stringify([agentId, sessionId])
}

function chatFault (frame: Fields, chat: ExpectedChat): string | undefined {
  if (frame['type'] === 'error') {
    if (chat.place?.isFull(frame['code']) === true) return undefined
    if (!chat.codes.includes(frame['code'] as string)) return `expected ${chat.codes.join(' or ') || 'an answer'}`
    return frame['code'] === 'AGENT_ERROR' && frame['message'] !== FAILURE ? `expected the text ${FAILURE}` : undefined
  }
  if (chat.place === undefined) return `expected ${chat.codes.join(' or ')}`
  return frame['done'] === true ? endFault(frame, chat) : pieceFault(frame, chat)
}

function pieceFault ({ type, content }: Fields, chat: ExpectedChat): string | undefined {
  if (type === 'message') return content === NOTE && chat.agentId === 'slow' && ++chat.notes === 1 ? undefined : 'no message of that agent'
  if (!chat.isStreamed || content === '') return 'an answer in pieces that was not to be, or an empty piece'
  chat.text += String(content)
  return undefined
}

function endFault ({ type, content }: Fields, chat: ExpectedChat): string | undefined {
  const { answer, place } = chat
  chat.text += String(content)
  if (place?.mayBeCut === true && (answer ?? '').startsWith(chat.text.replace(/\ufffd$/, ''))) return undefined
  if (chat.text !== answer) return `expected the answer ${JSON.stringify(answer)}, got ${JSON.stringify(chat.text)}`
  if ((chat.agentId === 'slow') !== (chat.notes === 1)) return 'a message was lost'
  const isStream = chat.isStreamed && chat.agentId !== 'main'
  if (type !== (isStream ? 'stream' : 'message')) return 'the wrong kind of end'
  return isStream && content !== '' ? 'the last piece is not empty' : undefined
}

/** What the host's `authorize` makes of a frame. */
function hostCode (sessionId: unknown): string | undefined {
  if (sessionId === 'forbidden') return 'FORBIDDEN'
  return sessionId === 'throws' || sessionId === 'rejects' ? 'INTERNAL' : undefined
}

function refusedChat (agentId: string, codes: readonly string[]): ExpectedChat {
  return { agentId, codes, place: undefined, isStreamed: true, answer: undefined, text: '', notes: 0 }
}

function idOf (id: unknown): { id?: string } {
  return typeof id === 'string' ? { id } : {}
}

/** What has to come for one frame that is no plain chat. */
interface ExpectedReply {
  /** The errors that it may be; none for a pong. */
  codes: readonly string[]
  id?: string
}

/** A frame beyond plain that is answered by itself, in whatever order. */
interface Request {
  frame: Fields
  /** The errors that may be its answer. */
  codes: readonly string[]
  /** Sessions of which it may stop turns. */
  views: readonly SessionView[]
}

interface ExpectedChat {
  agentId: string
  /** The errors it may end with. */
  codes: readonly string[]
  /** Missing where it is to be refused before any session is looked at. */
  place: OpenChat | undefined
  isStreamed: boolean
  answer: string | undefined
  text: string
  notes: number
}
