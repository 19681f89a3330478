import { Type } from '@sinclair/typebox'

import { AgentError, ChannelError, type Executor, type Part, type Turn } from '../../lib/index.js'
import { deferred, type Deferred } from '../helpers/deferred.js'

/** An agent that says what a test has it say, and stops where it wants to look. */
export class Script {
  /** Opens the gate that a chat named after it waits at. */
  readonly gates = new Map<string, Deferred<unknown>>()
  /** Why turns were stopped, by their questions. */
  readonly stopped: string[] = []
  /** What turns were given, in the order in which they began. */
  readonly turns: Turn[] = []
  readonly #waiting = new Map<string, Question>()

  readonly executor: Executor = (turn) => {
    this.turns.push(turn)
    turn.signal.addEventListener('abort', () => { this.stopped.push(turn.message) })
    return this.#answer(turn)
  }

  gate (name: string): Deferred<unknown> {
    const gate = this.gates.get(name) ?? deferred<unknown>()
    this.gates.set(name, gate)
    return gate
  }

  /** Frames with which a user's page answers, and asks what there is to answer. */
  define (channel: { define: (type: string, about: never) => void }): void {
    const define = channel.define.bind(channel) as (type: string, about: object) => void
    define('approve', {
      schema: Type.Object({ approvalId: Type.String(), ok: Type.Boolean() }),
      handler: ({ approvalId, ok }: { approvalId: string, ok: boolean }) => {
        const question = this.#waiting.get(approvalId)
        if (question === undefined) throw new ChannelError('VALIDATION_FAILED')
        this.#waiting.delete(approvalId)
        question.answer(ok)
        return { ok }
      }
    })
    define('approvals', {
      schema: Type.Object({ sessionId: Type.String() }),
      handler: ({ sessionId }: { sessionId: string }) => [...this.#waiting]
        .filter(([, question]) => question.sessionId === sessionId)
        .map(([approvalId, { toolCallId, toolName, input }]) => ({ approvalId, toolCallId, toolName, input }))
    })
  }

  async * #answer (turn: Turn): AsyncGenerator<Part, void> {
    const [what = '', ...rest] = turn.message.split(' ')
    switch (what) {
      case 'all': return yield * everything()
      case 'buy': return yield * this.#buy(turn, rest.join(' '))
      case 'fail': throw new Error('a secret of the server')
      case 'refuse': throw new AgentError('The shop is closed.')
      default:
        yield `${turn.message}: one`
        if (rest.length > 0) await turn.waitFor(this.gate(rest.join(' ')).promise)
        yield ', two'
    }
  }

  async * #buy (turn: Turn, what: string): AsyncGenerator<Part, void> {
    const call = { toolCallId: `call-${turn.id}`, toolName: 'buy' }
    const approvalId = `approval-${turn.id}`
    yield { type: 'event', name: 'reasoning', data: { id: 'r', text: 'They want something.' } }
    yield 'One moment. '
    const answered = new Promise<boolean>((answer) => {
      this.#waiting.set(approvalId, { ...call, input: { what }, sessionId: turn.sessionId, answer })
    })
    yield { type: 'event', name: 'tool-input', data: { ...call, input: { what } } }
    yield { type: 'event', name: 'tool-approval-request', data: { ...call, approvalId, input: { what } } }
    if (await turn.waitFor(answered)) {
      yield { type: 'event', name: 'tool-output', data: { ...call, output: { bought: what } } }
      yield `You have ${what}.`
    } else {
      yield { type: 'event', name: 'tool-denied', data: call }
      yield 'So be it.'
    }
  }
}

interface Question {
  toolCallId: string
  toolName: string
  input: unknown
  sessionId: string
  answer: (ok: boolean) => void
}

/** One of each kind. */
function * everything (): Generator<Part, void> {
  const call = { toolCallId: 'c1', toolName: 'look' }
  yield { type: 'event', name: 'reasoning', data: { id: 'r1', text: 'Let me ' } }
  yield { type: 'event', name: 'reasoning', data: { id: 'r1', text: 'see.' } }
  yield 'I '
  yield 'look. '
  yield { type: 'event', name: 'tool-input-start', data: call }
  yield { type: 'event', name: 'tool-input-delta', data: { toolCallId: 'c1', text: '{"at":' } }
  yield { type: 'event', name: 'tool-input-delta', data: { toolCallId: 'c1', text: '"tea"}' } }
  yield { type: 'event', name: 'tool-input', data: { ...call, input: { at: 'tea' } } }
  yield { type: 'event', name: 'progress', data: { id: 'p', percent: 50 } }
  yield { type: 'event', name: 'progress', data: { id: 'p', percent: 100 } }
  yield { type: 'event', name: 'tool-output', data: { ...call, output: { cups: 2 } } }
  yield 'There are two.'
  yield { type: 'message', content: 'That is all.' }
  yield { type: 'event', name: 'source', data: { id: 's1', url: 'https://tea.example/', title: 'Tea' } }
  yield { type: 'event', name: 'file', data: { mediaType: 'image/png', base64: 'AAAA' } }
  yield { type: 'finish', finishReason: 'length', usage: { inputTokens: 3, outputTokens: 5 } }
}
