import type { FastifyReply, FastifyRequest } from 'fastify'

import { onceOver } from './answer-over.js'
import { completion, CompletionEvents, CompletionText, type CompletionHead } from './completion-answer.js'
import { completionReader, type CompletionAsk } from './completion-request.js'
import type { Completion, Models } from './completion-schemas.js'
import { CompletionTurn } from './completion-turn.js'
import { hangUpInDrain } from './hang-up.js'
import type { Identity } from './identity.js'
import { Refusal } from './refusal.js'
import type { RestHandlersTools } from './rest-handlers.js'
import { streamAnswer } from './stream-answer.js'

/** What the routes of that API do. */
export class CompletionHandlers {
  readonly #tools: RestHandlersTools
  readonly #createdAt: number
  readonly #read = completionReader()

  /** @param createdAt since when there are the agents, in milliseconds since 1970-01-01T00:00:00Z */
  constructor (tools: RestHandlersTools, createdAt: number) {
    this.#tools = tools
    this.#createdAt = createdAt
  }

  readonly models = async (request: FastifyRequest): Promise<Models> => {
    await this.#tools.identify(request)
    const { agents } = this.#tools.tools()
    const created = seconds(this.#createdAt)
    return { object: 'list', data: agents.list().map(({ agentId }) => ({ id: agentId, object: 'model', created, owned_by: 'host' })) }
  }

  readonly complete = async (request: FastifyRequest, reply: FastifyReply): Promise<Completion | FastifyReply> => {
    const identity = await this.#tools.identify(request)
    const { clock, connections, decode } = this.#tools.tools()
    const ask = this.#read(request.body, decode)
    const head = { id: ask.chat.id, created: seconds(clock.date()), model: ask.chat.agentId }
    connections.reserveRequest(identity.owner)
    if (!ask.isStreamed) return await this.#whole(reply, identity, ask, head)
    return await streamAnswer(this.#tools, reply, identity, ask, new CompletionEvents(head, ask.includesUsage))
  }

  async #whole (reply: FastifyReply, identity: Identity, ask: CompletionAsk, head: CompletionHead): Promise<Completion | FastifyReply> {
    const tools = this.#tools.tools()
    const turn = new CompletionTurn(ask, identity, tools)
    const reader = { isGone: false, wake (): void {} }
    // Until the client has taken its answer: else who takes none could have any number of them.
    onceOver(reply, () => {
      reader.isGone = true
      turn.close()
      reader.wake()
      tools.connections.release(identity.owner)
    })
    let answer: Completion | undefined
    try {
      await turn.start(() => { reader.wake() })
      const text = new CompletionText()
      for (let content = ''; answer === undefined && !reader.isGone;) {
        const entry = turn.next(true)
        if (entry === undefined) {
          await new Promise<void>((resolve) => { reader.wake = resolve })
          continue
        }
        if (entry === 'lost') throw new Refusal('STORE_UNAVAILABLE')
        content += text.of(entry)
        if (entry.kind === 'end') answer = completion(head, content, entry.end)
      }
    } finally {
      hangUpInDrain(reply, tools.engine)
      turn.close()
    }
    return answer ?? reply.hijack()
  }
}

function seconds (date: number): number {
  return Math.floor(date / 1000)
}
