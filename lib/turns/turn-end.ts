import { TypeCompiler } from '@sinclair/typebox/compiler'

import { AgentError, AgentNotFoundError, type FinishPart } from '../agent/executor.js'
import { StoreFailure } from '../agent/store-failure.js'
import type { TurnEnd } from '../journal/journal.js'
import type { ErrorCode } from '../protocol/codes.js'
import { FINISH_REASONS } from '../protocol/names.js'
import { Usage } from '../protocol/server-frames.js'

/** The longest error text of an agent that goes out, in UTF-16 code units: an error is no place for an answer. */
const MAX_ERROR_UNITS = 1_000

const isUsage = TypeCompiler.Compile(Usage)

/** How a turn ends that someone called off: with what there is. */
export const ABORTED: TurnEnd = { finishReason: 'aborted' }

export function failedEnd (code: ErrorCode, text?: string): TurnEnd {
  return { finishReason: 'error', error: text === undefined ? { code } : { code, text } }
}

/** Of most turns; kept with each of them, it is one object. */
const STOPPED: TurnEnd = { finishReason: 'stop' }

/** The end of a turn whose executor has come to its own: as far as what it reports makes sense. */
export function finishedEnd ({ finishReason = 'stop', usage }: Partial<FinishPart> = {}): TurnEnd {
  if (finishReason === 'stop' && usage === undefined) return STOPPED
  const end: TurnEnd = { finishReason: FINISH_REASONS.includes(finishReason) ? finishReason : 'other' }
  if (usage !== undefined && isUsage.Check(usage)) end.usage = onlyUsage(usage)
  return end
}

/** The end of a turn whose executor threw, and what the operator is told: whose fault it is decides how loudly. */
export function thrownEnd (err: Error): { end: TurnEnd, level: 'info' | 'error', text: string } {
  if (err instanceof StoreFailure) return { end: failedEnd('STORE_UNAVAILABLE'), level: 'error', text: err.message }
  if (err instanceof AgentNotFoundError) return { end: failedEnd('AGENT_NOT_FOUND'), level: 'info', text: 'no such agent' }
  if (err instanceof AgentError) {
    const end = failedEnd('AGENT_ERROR', err.message.slice(0, MAX_ERROR_UNITS).toWellFormed())
    return { end, level: 'info', text: 'the executor ended its turn with an error for the client' }
  }
  return { end: failedEnd('AGENT_ERROR'), level: 'error', text: 'the executor failed' }
}

/** Agents report more than the protocol has a place for. */
function onlyUsage (usage: Usage): Usage {
  const names = Object.keys(Usage.properties) as Array<keyof Usage>
  // The schema has checked what is copied.
  return Object.fromEntries(names.flatMap((name) => usage[name] === undefined ? [] : [[name, usage[name]]])) as Usage
}
