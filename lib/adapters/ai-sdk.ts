import type { LanguageModel, ModelMessage } from 'ai'

import type { Executor, Part, Turn } from '../agent/executor.js'
import { FullStreamReader, keptMessages, type FullStreamResult } from '../agent/full-stream.js'
import type { Awaitable } from '../awaitable.js'
import { opened, withEvents, type AdapterOptions } from './adapter.js'
import { toModelMessages } from './model-messages.js'
import { pacedModel } from './paced-model.js'
import { ReaderPace } from './reader-pace.js'

export { toModelMessages } from './model-messages.js'
export type { AdapterOptions } from './adapter.js'
export type { FullStreamResult } from '../agent/full-stream.js'

/** What is given to `streamText`, together with a model and whatever else the host wants: `streamText({ model, ...call })`. */
export interface AiSdkCall {
  /** The session's history, with what tools said in earlier turns, and the question. */
  messages: ModelMessage[]
  /** Fires when nobody wants the rest. */
  abortSignal: AbortSignal
  /** Does nothing: the turn ends with the error, which the channel logs. The SDK would print it, by default. */
  onError: () => void
  /** Keeps what was said and called so far, for turns that are cut off later. */
  onStepFinish: (step: { response: { messages: ModelMessage[] } }) => void
  /** Has the model wait for who reads the turn; the SDK itself would read it to its end, whoever follows. */
  prepareStep: (step: { model: LanguageModel }) => { model?: LanguageModel }
}

export interface AiSdkOptions extends AdapterOptions {
  /**
   * Says whether a tool that asks for approval may run; for as long as that takes, only the turn's total time-out runs.
   * @default such a turn ends, and the tool does not run
   */
  approve?: ((request: ApprovalRequest, turn: Turn) => PromiseLike<ApprovalAnswer>) | undefined
}

/** As it is in the event `tool-approval-request`. */
export interface ApprovalRequest {
  approvalId: string
  toolCallId: string
  toolName: string
  input: unknown
}

export interface ApprovalAnswer {
  approved: boolean
  /** For the model. */
  reason?: string | undefined
}

/**
 * An agent of the AI SDK: `fromAiSdk((call) => streamText({ model, ...call }))`. Its text is the answer; reasoning, tools,
 * sources and files are events of the names in `AgentEvents`. What stands behind `...call` takes the place of what is in it:
 * an `onStepFinish` or a `prepareStep` of the host's calls that of `call`.
 */
export function fromAiSdk (open: (call: AiSdkCall, turn: Turn) => Awaitable<FullStreamResult>, options: AiSdkOptions = {}): Executor {
  return withEvents(options, async function * (turn) {
    const messages: ModelMessage[] = [
      ...toModelMessages(await turn.history({ limit: options.historyLimit })),
      { role: 'user', content: turn.message }
    ]
    const answered: ModelMessage[] = []
    const reader = new FullStreamReader(turn)
    const pace = new ReaderPace()
    let replies: ModelMessage[]
    do {
      yield * step(answered)
      replies = await repliesOf(reader, turn, options)
      answered.push(...replies)
    } while (replies.length > 0)
    yield reader.finish()

    /** One call of the model, with all that it does by itself. */
    async function * step (before: readonly ModelMessage[]): AsyncGenerator<Part, void> {
      let soFar: readonly ModelMessage[] = []
      const call: AiSdkCall = {
        messages: [...messages, ...before],
        abortSignal: turn.signal,
        onError () {},
        onStepFinish ({ response }) { soFar = response.messages },
        prepareStep: ({ model }) => pacedModel(model, pace)
      }
      const result = await opened(() => open(call, turn))
      const stream = { fullStream: pace.watched(result.fullStream) }
      yield * reader.read(stream, () => soFar.length === 0 ? [] : [keptMessages([...before, ...soFar])])
      answered.push(...await reader.messagesOf(result))
      if (answered.length > 0) yield keptMessages(answered)
    }
  })
}

/** What somebody says about the tools that ask for approval, for the model to go on; nothing where nobody is asked. */
async function repliesOf ({ approvals }: FullStreamReader, turn: Turn, { approve }: AiSdkOptions): Promise<ModelMessage[]> {
  if (approve === undefined || approvals.length === 0) return []
  const answers = await turn.waitFor(Promise.all(approvals.map(async ({ approvalId, toolCall }) => {
    const { toolCallId, toolName, input } = toolCall
    const { approved, reason } = await approve({ approvalId, toolCallId, toolName, input }, turn)
    const response = { type: 'tool-approval-response' as const, approvalId, approved }
    return reason === undefined ? response : { ...response, reason }
  })))
  return [{ role: 'tool', content: answers }]
}
