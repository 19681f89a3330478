import type { FastifyReply } from 'fastify'

import type { AnswerEvents } from './answer-events.js'
import { onceOver } from './answer-over.js'
import { CompletionStream } from './completion-stream.js'
import type { TurnAsk } from './completion-turn.js'
import { hangUpInDrain } from './hang-up.js'
import type { Identity } from './identity.js'
import type { RestHandlersTools } from './rest-handlers.js'

/** Answers a request by a turn of its own, told as events. Call it with a place among the connections, which it gives back. */
export async function streamAnswer (
  { tools: toolsOf, tellings }: RestHandlersTools, reply: FastifyReply, identity: Identity, ask: TurnAsk, events: AnswerEvents
): Promise<FastifyReply> {
  const tools = toolsOf()
  const stream = new CompletionStream(reply, identity, ask, events, tools)
  tellings.add(stream)
  // Also when a refusal has been sent, and when the client is gone already.
  onceOver(reply, () => {
    stream.gone()
    tellings.delete(stream)
    tools.connections.release(identity.owner)
  })
  await stream.start().finally(() => { hangUpInDrain(reply, tools.engine) })
  return reply
}
