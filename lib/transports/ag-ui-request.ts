import { randomUUID } from 'node:crypto'

import type { Decoded } from '../protocol/decode.js'
import { compileCheck } from '../protocol/schema-check.js'
import { RUN_CONTENT, RUN_INPUT, type RunContent, type RunInput } from './ag-ui-schemas.js'
import { WrongField } from './completion-errors.js'
import { readChat } from './completion-request.js'
import type { TurnAsk } from './completion-turn.js'

/** A run, and the turn that it is. */
export interface RunAsk extends TurnAsk {
  threadId: string
  runId: string
}

/** What a run has elsewhere than a chat. */
const PLACE_BY_PATH: Readonly<Record<string, string>> = { '/message': '/messages', '/sessionId': '/threadId', '/metadata': '/forwardedProps' }

/** Reads the body of a request; throws a `WrongField`. */
export type ReadRun = (body: unknown, agentId: string, decode: (data: Buffer) => Decoded) => RunAsk

/** To be made once: it compiles schemas. */
export function runReader (): ReadRun {
  const [faultOf, contentFaultOf] = [compileCheck(RUN_INPUT), compileCheck(RUN_CONTENT)]
  return (body, agentId, decode) => {
    const fault = faultOf(body)
    if (fault !== undefined) throw new WrongField(fault.path, fault.rule)
    // It is as its schema says.
    const input = body as RunInput
    const last = input.messages.at(-1)
    if (last?.role !== 'user') throw new WrongField('/messages', 'the last has to be the user\'s')
    if (contentFaultOf(last.content) !== undefined) throw new WrongField('/messages', 'what the user says has to be text')
    const { threadId, runId } = input
    const id = `run-${randomUUID()}`
    const message = textOf(last.content as RunContent)
    const chat = { type: 'chat' as const, id, agentId, sessionId: threadId, message, metadata: metadataOf(input) }
    return { chat: readChat(chat, decode, PLACE_BY_PATH), given: [], threadId, runId }
  }
}

function textOf (content: RunContent): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('')
}

/** What the page gives to an agent: the host's own fields, and what AG-UI has for agents that know it. */
function metadataOf ({ forwardedProps, ...input }: RunInput): unknown {
  const { state, tools, context, resume } = input
  const given = Object.fromEntries(Object.entries({ state, tools, context, resume }).filter(([, value]) => !isEmpty(value)))
  const isObject = typeof forwardedProps === 'object' && !Array.isArray(forwardedProps)
  // What is no object is refused as what it would be the metadata of.
  if (forwardedProps !== undefined && !isObject) return forwardedProps
  const metadata = isEmpty(given) ? { ...forwardedProps } : { ...forwardedProps, agUi: given }
  return isEmpty(metadata) ? undefined : metadata
}

/** Clients send `{}` and `[]` where there is nothing. */
function isEmpty (value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0)
}
