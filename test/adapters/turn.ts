import type { Executor, Part, Turn } from '../../lib/agent/executor.js'
import { inParts } from '../../lib/agent/full-stream.js'
import type { SessionMessage } from '../../lib/protocol/server-frames.js'
import { recordingLog } from '../helpers/recording-log.js'

export interface FakeTurn extends Turn {
  readonly log: ReturnType<typeof recordingLog>
  abort(): void
}

/** A turn without an engine. */
export function turnOf (more: Partial<Turn> & { said?: SessionMessage[] } = {}): FakeTurn {
  const controller = new AbortController()
  const { said = [], ...rest } = more
  return {
    id: 't9',
    agentId: 'main',
    sessionId: 's1',
    owner: 'ann',
    context: undefined,
    message: 'hello',
    metadata: undefined,
    signal: controller.signal,
    history: async ({ limit = 50 } = {}) => said.slice(-limit),
    waitFor: async (promise) => await promise,
    ...rest,
    log: recordingLog(),
    abort () { controller.abort(new Error('stopped')) }
  }
}

/** What was said before, by turns: a question each, and where there is one its answer. */
export function said (...turns: Array<[question: string, answer?: string, more?: Partial<SessionMessage>]>): SessionMessage[] {
  return turns.flatMap(([question, answer, more], index): SessionMessage[] => {
    const of = { turnId: `t${index + 1}`, at: index, complete: true }
    const asked: SessionMessage = { ...of, role: 'user', content: question }
    return answer === undefined ? [asked] : [asked, { ...of, role: 'assistant', content: answer, ...more }]
  })
}

export async function partsOf (executor: Executor, turn: Turn = turnOf()): Promise<Part[]> {
  const parts: Part[] = []
  for await (const part of inParts(await executor(turn), turn) as AsyncIterable<Part>) parts.push(part)
  return parts
}
