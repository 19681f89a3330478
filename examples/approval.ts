// npx tsx examples/approval.ts
//
// An agent that asks its user before it acts, in the middle of an answer. The question is an event; it is answered by a
// frame of this host's own, from any connection of the user, also after a reconnect. Try:
//   CHANNEL_TOKEN=for-ada node examples/resume.mjs shop "buy 3 teapots"
// and answer by a line: {"type":"approve","ok":true,"approvalId":"…"}
import { randomUUID } from 'node:crypto'

import createError from '@fastify/error'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'

import wsChannel, { AgentError, ChannelError, type Executor, type Turn } from '../lib/index.js'

/** What waits for somebody's word. */
const approvals = new Map<string, { owner: string, sessionId: string, what: string, answer: (ok: boolean) => void }>()
const MAX_WAITING = 1_000

const clerk: Executor = async function * (turn) {
  yield `You want: ${turn.message}. `
  const ok = yield * approval(turn, turn.message)
  yield ok ? 'It is done.' : 'So I leave it.'
}

/** Asks, and waits. However the turn ends meanwhile, by a cancel or a time-out too, nothing of the question stays. */
async function * approval (turn: Turn, what: string) {
  if (approvals.size >= MAX_WAITING) throw new AgentError('Too many questions wait for an answer.')
  const { owner, sessionId } = turn
  const approvalId = randomUUID()
  // Before it is asked: the answer may be quick.
  const answered = new Promise<boolean>((answer) => approvals.set(approvalId, { owner, sessionId, what, answer }))
  try {
    yield { type: 'event' as const, name: 'approval-request', data: { approvalId, what } }
    return await turn.waitFor(answered)
  } finally {
    approvals.delete(approvalId)
  }
}

const OWNERS = new Map([['Bearer for-ada', 'ada'], ['Bearer for-bob', 'bob']])
const Unauthorized = createError('UNAUTHORIZED', 'Send a token: for-ada or for-bob', 401)

const app = Fastify({ logger: true })
await app.register(wsChannel, {
  agentExecutor: clerk,
  // While a person thinks only this one runs.
  turnTimeoutMs: 3_600_000,
  identify ({ headers }) {
    const owner = OWNERS.get(headers.authorization ?? '')
    if (owner === undefined) throw new Unauthorized()
    return owner
  }
})

app.channel.define('approve', {
  schema: Type.Object({ approvalId: Type.String(), ok: Type.Boolean() }),
  handler ({ approvalId, ok }, { owner }) {
    const approval = approvals.get(approvalId)
    // Somebody else's question is answered like one that does not exist.
    if (approval?.owner !== owner || !approvals.delete(approvalId)) {
      throw new ChannelError('VALIDATION_FAILED', { details: { path: '/approvalId', rule: 'nothing waits for it' } })
    }
    approval.answer(ok)
    return { ok }
  }
})

// For a client that joins without a position: what was asked before is not told to it again.
app.channel.define('approvals', {
  schema: Type.Object({ sessionId: Type.String() }),
  handler: ({ sessionId }, { owner }) => [...approvals].flatMap(([approvalId, { what, ...of }]) =>
    of.owner === owner && of.sessionId === sessionId ? [{ approvalId, what }] : [])
})

await app.listen({ port: Number(process.env.PORT ?? 9527) })
