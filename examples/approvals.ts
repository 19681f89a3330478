// A part of examples/ai-sdk.ts: and of others with tools, questions in the midst of a turn, and the frames that answer and list them.
import { randomUUID } from 'node:crypto'

import { Type } from '@sinclair/typebox'

import { AgentError, ChannelError, type Channel, type Turn } from '../lib/index.js'

const MAX_WAITING = 1_000

export class Approvals {
  readonly #waiting = new Map<string, Question>()

  /** Before anybody is asked: the answer may be quick. Wait for `answered` by `turn.waitFor`. */
  open (turn: Turn, approvalId: string = randomUUID(), call: object = {}) {
    if (this.#waiting.size >= MAX_WAITING) throw new AgentError('Too many questions wait for an answer.')
    const { owner, sessionId } = turn
    const answered = new Promise<boolean>((answer) => { this.#waiting.set(approvalId, { owner, sessionId, call, answer }) })
    // However the turn ends meanwhile, by a cancel or a time-out too, nothing of the question stays.
    turn.signal.addEventListener('abort', () => { this.#waiting.delete(approvalId) }, { once: true })
    return { approvalId, answered }
  }

  /** The frame {"type":"approve","approvalId":"…","ok":true}, from any connection of the one who was asked. */
  define (channel: Channel): void {
    channel.define('approve', {
      schema: Type.Object({ approvalId: Type.String(), ok: Type.Boolean() }),
      handler: ({ approvalId, ok }, { owner }) => {
        const question = this.#waiting.get(approvalId)
        // Somebody else's question is answered like one that does not exist.
        if (question?.owner !== owner || !this.#waiting.delete(approvalId)) {
          throw new ChannelError('VALIDATION_FAILED', { details: { path: '/approvalId', rule: 'nothing waits for it' } })
        }
        question.answer(ok)
        return { ok }
      }
    })
    // For a device that joins a turn in its midst: {"type":"approvals","sessionId":"…"}.
    channel.define('approvals', {
      schema: Type.Object({ sessionId: Type.String() }),
      handler: ({ sessionId }, { owner }) => [...this.#waiting].flatMap(([approvalId, { call, ...of }]) =>
        of.owner === owner && of.sessionId === sessionId ? [{ ...call, approvalId }] : [])
    })
  }
}

interface Question {
  owner: string
  sessionId: string
  /** What is to be approved. */
  call: object
  answer: (approved: boolean) => void
}
