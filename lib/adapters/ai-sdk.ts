import type { LanguageModel, ModelMessage, ToolApprovalResponse } from 'ai'

import type { Executor, Part, Turn } from '../agent/executor.js'
import { FullStreamReader, keptMessages, type ApprovalRequest, type FullStreamResult } from '../agent/full-stream.js'
import type { Awaitable } from '../awaitable.js'
import { opened, withEvents, type AdapterOptions } from './adapter.js'
import { toModelMessages } from './model-messages.js'
import { pacedModel } from './paced-model.js'
import { ReaderPace } from './reader-pace.js'
import { ApprovedRuns, StepMessages } from './step-messages.js'

export { toModelMessages } from './model-messages.js'
export type { AdapterOptions } from './adapter.js'
export type { ApprovalRequest, FullStreamResult } from '../agent/full-stream.js'

/** What is given to `streamText`, together with a model and whatever else the host wants: `streamText({ model, ...call })`. */
export interface AiSdkCall {
  /** The session's history, with what tools said in earlier turns, and the question. */
  messages: ModelMessage[]
  /** Fires when nobody wants the rest. */
  abortSignal: AbortSignal
  /** Does nothing: the turn ends with the error, which the channel logs. The SDK would print it, by default. */
  onError: () => void
  /** Has the model wait for who reads the turn; the SDK itself would read it to its end, whoever follows. */
  prepareStep: (step: { model: LanguageModel, messages: ModelMessage[] }) => { model?: LanguageModel }
  /** Keeps what was said and called so far, for turns that are cut off later. */
  onStepFinish: (step: { response: { messages: ModelMessage[] } }) => void
}

export interface AiSdkOptions extends AdapterOptions {
  /**
   * Says whether a tool that asks for approval may run; while the model waits for that, only the turn's total time-out
   * runs. It is called before a client sees the event that asks.
   * @default such a turn ends, and the tool does not run
   */
  approve?: ((request: ApprovalRequest, turn: Turn) => PromiseLike<ApprovalAnswer>) | undefined
}

export interface ApprovalAnswer {
  approved: boolean
  /** For the model. */
  reason?: string | undefined
}

/**
 * An agent of the AI SDK: `fromAiSdk((call) => streamText({ model, ...call }))`. Its text is the answer; reasoning, tools,
 * sources and files are events of the names in `AgentEvents`. What stands behind `...call` takes the place of what is in it:
 * a `prepareStep` or an `onStepFinish` of the host's calls that of `call`.
 */
export function fromAiSdk (open: (call: AiSdkCall, turn: Turn) => Awaitable<FullStreamResult>, options: AiSdkOptions = {}): Executor {
  return withEvents(options, async function * (turn) {
    const messages: ModelMessage[] = [
      ...toModelMessages(await turn.history({ limit: options.historyLimit })),
      { role: 'user', content: turn.message }
    ]
    const answered: ModelMessage[] = []
    const approvals = new Approvals(turn, options)
    const reader = new FullStreamReader(turn, (request) => { approvals.ask(request) })
    const pace = new ReaderPace()
    let replies: ModelMessage[]
    do {
      yield * step(answered)
      replies = await approvals.replies()
      answered.push(...replies)
    } while (replies.length > 0)
    yield reader.finish()

    /** One call of the model, with all that it does by itself. */
    async function * step (before: readonly ModelMessage[]): AsyncGenerator<Part, void> {
      const steps = new StepMessages([...messages, ...before])
      const result = await opened(() => open({
        messages: [...messages, ...before],
        abortSignal: turn.signal,
        onError () {},
        prepareStep (step) {
          steps.begin(step.messages)
          return pacedModel(step.model, pace)
        },
        onStepFinish ({ response }) { steps.end(response.messages) }
      }, turn))
      const runs = new ApprovedRuns(before)
      const stream = { fullStream: pace.watched(result.fullStream) }
      for await (const part of reader.read(stream, () => steps.said.length === 0 ? [] : [keptMessages([...before, ...steps.said])])) {
        yield part
        if (runs.take(part)) yield keptMessages([...before, ...runs.messages])
      }
      answered.push(...await reader.messagesOf(result))
      if (answered.length > 0) yield keptMessages(answered)
    }
  })
}

/** What somebody says about the tools that ask for approval; nothing where nobody is asked. */
class Approvals {
  readonly #turn: Turn
  readonly #approve: AiSdkOptions['approve']
  #asked: Array<Promise<ToolApprovalResponse>> = []

  constructor (turn: Turn, { approve }: AiSdkOptions) {
    this.#turn = turn
    this.#approve = approve
  }

  ask (request: ApprovalRequest): void {
    const answer = this.#approve?.(request, this.#turn)
    if (answer === undefined) return
    const reply = replyTo(request, answer)
    // It is waited for when the model has said what it wanted; until then a rejection is not nobody's.
    reply.catch(() => {})
    this.#asked.push(reply)
  }

  /** For the model to go on. Rejects when the turn is stopped. */
  async replies (): Promise<ModelMessage[]> {
    const asked = this.#asked
    this.#asked = []
    return asked.length === 0 ? [] : [{ role: 'tool', content: await this.#turn.waitFor(Promise.all(asked)) }]
  }
}

async function replyTo ({ approvalId }: ApprovalRequest, answer: PromiseLike<ApprovalAnswer>): Promise<ToolApprovalResponse> {
  const { approved, reason } = await answer
  const response = { type: 'tool-approval-response' as const, approvalId, approved }
  return reason === undefined ? response : { ...response, reason }
}
