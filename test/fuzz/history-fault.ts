import { digestOf, slowRecord } from './agents.js'
import type { Fields } from './oracle.js'

/** Each turn once, the question before its answer, and that what the agent says to it. */
export function historyFault (messages: Fields[], agentId: unknown): string | undefined {
  const questionByTurn = new Map<unknown, Fields>()
  const answered = new Set<unknown>()
  for (const message of messages) {
    const { role, content, turnId, at, complete } = message
    if (!Number.isInteger(at) || typeof content !== 'string' || typeof turnId !== 'string') return 'no message'
    const question = questionByTurn.get(turnId)
    if (answered.has(turnId) || (question !== undefined) !== (role === 'assistant' && question !== undefined)) return 'a turn twice, or its answer first'
    if (role === 'user') questionByTurn.set(turnId, message)
    else answered.add(turnId)
    if (question === undefined || complete !== true) continue
    const answer = digestOf(String(question['content']), question['metadata'])
    if (content !== (agentId === 'slow' ? slowRecord(answer) : answer.toWellFormed())) return `not the answer ${JSON.stringify(answer)}`
  }
  return undefined
}
