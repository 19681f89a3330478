import type { FastifyReply, FastifyRequest } from 'fastify'

import type { AgentSummary } from '../agent/agents.js'
import type { ClientFrame } from '../protocol/client-frames.js'
import { ANONYMOUS } from '../protocol/names.js'
import type { ServerFrameOf } from '../protocol/server-frames.js'
import type { MessagePage, SessionPage } from '../sessions/session-store.js'
import { newUuid } from '../uuid.js'
import { AckTelling, type AckAnswer } from './ack-telling.js'
import { onceOver } from './answer-over.js'
import { hangUpInDrain } from './hang-up.js'
import type { Identity } from './identity.js'
import { refuseOtherJournal } from './journal-gate.js'
import { askPermission } from './permission.js'
import { Refusal } from './refusal.js'
import { bodyOf, chatOf, EVENTS_TYPE, frameOf, lastPosition, NOT_ACCEPTABLE, preferredType, prefersAck } from './rest-frames.js'
import { PAGE_LIMIT, type ChannelFacts } from './rest-schemas.js'
import type { RestTools } from './rest-tools.js'
import { SseTelling } from './sse-telling.js'
import type { SseTellings } from './sse-tellings.js'
import { WholeTelling, type WholeAnswer } from './whole-telling.js'

export interface RestHandlersTools {
  /** There from `ready` on. */
  tools: () => RestTools
  tellings: SseTellings
  /** @throws Refusal for nobody the host can name */
  identify: (request: FastifyRequest) => Promise<Identity>
}

type AgentRequest = FastifyRequest<{ Params: { agentId: string } }>
interface SessionParams { agentId: string, sessionId: string }
type SessionRequest = FastifyRequest<{ Params: SessionParams }>
interface PageQuery { limit?: number, before?: string }

/** What the routes do. Each asks for what a frame of a socket would ask for, where there is one. */
export class RestHandlers {
  readonly #tools: () => RestTools
  readonly #tellings: SseTellings
  readonly #identify: RestHandlersTools['identify']

  constructor ({ tools, tellings, identify }: RestHandlersTools) {
    this.#tools = tools
    this.#tellings = tellings
    this.#identify = identify
  }

  /** A `preHandler` of each of the routes. */
  readonly requireJournal = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    await refuseOtherJournal(request, reply, this.#tools().facts.journal)
  }

  readonly agents = async (request: FastifyRequest): Promise<{ agents: AgentSummary[], channel: ChannelFacts }> => {
    await this.#identify(request)
    const { agents, facts } = this.#tools()
    return { agents: agents.list(), channel: facts }
  }

  readonly chat = async (request: AgentRequest, reply: FastifyReply): Promise<unknown> => {
    const type = preferredType(request, ['application/json', EVENTS_TYPE])
    if (type === undefined) return reply.code(406).send(NOT_ACCEPTABLE)
    const identity = await this.#identify(request)
    const chat = chatOf(this.#tools().decode, request)
    const hasOwnId = chat.id === undefined
    // Where a session is named, whoever loses this answer can find it again by the id of its turn.
    const frame = chat.sessionId === undefined ? chat : { ...chat, id: chat.id ?? newUuid() }
    if (type === EVENTS_TYPE) return await this.#tell(reply, identity, frame, hasOwnId)
    if (frame.id === undefined || !prefersAck(request)) {
      return await this.#answer<WholeAnswer>(reply, identity, { ...frame, stream: false }, hasOwnId)
    }
    const answer = await this.#answer<AckAnswer>(reply, identity, frame, hasOwnId, AckTelling)
    if (answer !== undefined) reply.code(202)
    return answer
  }

  readonly sessions = async (
    request: FastifyRequest<{ Params: { agentId: string }, Querystring: PageQuery }>
  ): Promise<SessionPage> => {
    const { owner } = await this.#identify(request)
    // Everybody's sessions are nobody's to list: that their names are not known is all that protects them.
    if (owner === ANONYMOUS) throw new Refusal('FORBIDDEN', { hint: 'who is anonymous gets no list of sessions; the host says who it is by `identify` or `request.user`' })
    const { params: { agentId }, query: { limit = PAGE_LIMIT, before } } = request
    const { engine } = this.#tools()
    return await this.#kept(request, engine.sessions({ owner, agentId }, before === undefined ? { limit } : { limit, before }))
  }

  readonly messages = async (
    request: FastifyRequest<{ Params: SessionParams, Querystring: PageQuery }>, reply: FastifyReply
  ): Promise<MessagePage | undefined> => {
    const identity = await this.#identify(request)
    // Nothing else of the query: it may name other fields of a frame.
    const { params, query: { limit, before: from } } = request
    const frame = frameOf(this.#tools().decode, { type: 'history', ...params, limit, before: from })
    const answer = await this.#answer<ServerFrameOf<'history'>>(reply, identity, frame)
    if (answer === undefined) return undefined
    const { messages, before } = answer
    return before === undefined ? { messages } : { messages, before }
  }

  readonly events = async (
    request: FastifyRequest<{ Params: SessionParams, Querystring: { lastEventId?: string } }>, reply: FastifyReply
  ): Promise<unknown> => {
    if (preferredType(request, [EVENTS_TYPE]) === undefined) return reply.code(406).send(NOT_ACCEPTABLE)
    const identity = await this.#identify(request)
    const { connections, decode } = this.#tools()
    connections.check(identity.owner)
    const position = lastPosition(request)
    const from = position === undefined ? {} : { epoch: position.epoch, after: position.seq }
    return await this.#tell(reply, identity, frameOf(decode, { type: 'subscribe', ...request.params, ...from }))
  }

  readonly cancel = async (request: SessionRequest, reply: FastifyReply): Promise<{ turns: string[] } | undefined> => {
    const identity = await this.#identify(request)
    const frame = frameOf(this.#tools().decode, { ...bodyOf(request.body ?? {}), type: 'cancel', ...request.params })
    const answer = await this.#answer<ServerFrameOf<'cancelled'>>(reply, identity, frame)
    return answer && { turns: answer.turns }
  }

  /** The host is asked as for a cancel, which is the first half of it. */
  readonly forget = async (request: SessionRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const identity = await this.#identify(request)
    await askPermission({ type: 'cancel', ...request.params }, identity, this.#tools())
    await this.#kept(request, this.#tools().engine.forget({ owner: identity.owner, ...request.params }))
    return reply.code(204).send()
  }

  /** What is not there any more when its client is gone is answered to nobody. */
  async #answer<Answer> (
    reply: FastifyReply, identity: Identity, frame: ClientFrame, hasOwnId = false, Telling = WholeTelling
  ): Promise<Answer | undefined> {
    const tools = this.#tools()
    tools.connections.reserveRequest(identity.owner)
    const telling = new Telling(identity, hasOwnId, tools)
    // Until the client has taken its answer: else who takes none could have any number of them.
    onceOver(reply, () => {
      telling.abandon()
      tools.connections.release(identity.owner)
    })
    telling.start(frame)
    try {
      const answer = await telling.answer
      if (answer === undefined) reply.hijack()
      // It is of the kind that its frame asks for.
      return answer as Answer | undefined
    } finally {
      hangUpInDrain(reply, this.#tools().engine)
      telling.close()
    }
  }

  async #tell (reply: FastifyReply, identity: Identity, frame: ClientFrame, hasOwnId = false): Promise<void> {
    const { connections } = this.#tools()
    connections.reserveRequest(identity.owner)
    const telling = new SseTelling(reply, { identity, frame, hasOwnId }, this.#tools())
    // Also when a refusal has been sent, and when the client is gone already.
    onceOver(reply, () => {
      telling.gone()
      this.#tellings.delete(telling)
      connections.release(identity.owner)
    })
    telling.start()
    this.#tellings.add(telling)
    await telling.begun.finally(() => { hangUpInDrain(reply, this.#tools().engine) })
  }

  async #kept<T> (request: FastifyRequest, asked: Promise<T>): Promise<T> {
    try {
      return await asked
    } catch (err) {
      request.log.error({ err }, 'the session store or the journal failed a request')
      throw new Refusal('STORE_UNAVAILABLE', { retryAfterMs: this.#tools().limits.retryAfterMs })
    }
  }
}
