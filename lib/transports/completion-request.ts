import { randomUUID } from 'node:crypto'

import type { ChatFrame } from '../protocol/client-frames.js'
import type { Decoded } from '../protocol/decode.js'
import type { SessionMessage } from '../protocol/server-frames.js'
import { compileCheck } from '../protocol/schema-check.js'
import { WrongField } from './completion-errors.js'
import { COMPLETION_REQUEST, type CompletionRequest, type GivenMessage } from './completion-schemas.js'
import { Refusal } from './refusal.js'
import { jsonOf } from './rest-frames.js'

/** What a completion asks for. */
export interface CompletionAsk {
  /** As a client would say it over a socket: with an `id`, and with a `sessionId` where it is to be kept. */
  chat: ReadChat
  /** What was said before, where no session is named. */
  given: GivenMessage[]
  isStreamed: boolean
  includesUsage: boolean
}

export type ReadChat = ChatFrame & { id: string, agentId: string }

/** What a completion has elsewhere than a chat. */
const PLACE_BY_PATH: Readonly<Record<string, string>> = { '/message': '/messages' }

/** Reads the body of a request; throws a `WrongField`. */
export type ReadCompletion = (body: unknown, decode: (data: Buffer) => Decoded) => CompletionAsk

/** To be made once: it compiles a schema. */
export function completionReader (): ReadCompletion {
  const faultOf = compileCheck(COMPLETION_REQUEST)
  return (body, decode) => {
    const fault = faultOf(body)
    if (fault !== undefined) throw new WrongField(fault.path, fault.rule)
    // It is as its schema says.
    return readCompletion(body as CompletionRequest, decode)
  }
}

function readCompletion (body: CompletionRequest, decode: (data: Buffer) => Decoded): CompletionAsk {
  const { messages, stream, stream_options: streamOptions } = body
  const last = messages.findLastIndex(({ role }) => role === 'user')
  const asked = messages[last]
  if (asked === undefined) throw new WrongField('/messages', 'needs one of the user')
  const { model: agentId, sessionId, user, metadata } = body
  // What is null is not said here.
  const chat = readChat({
    type: 'chat', id: `chatcmpl-${randomUUID()}`, agentId, message: textOf(asked), sessionId: sessionId ?? user ?? undefined, metadata: metadata ?? undefined
  }, decode, PLACE_BY_PATH)
  return {
    chat,
    given: chat.sessionId === undefined ? messages.toSpliced(last, 1) : [],
    isStreamed: stream === true,
    includesUsage: streamOptions?.include_usage === true
  }
}

/** A history, of messages from a client. Nobody but the user and the agent speaks there: who else did is in the `metadata`. */
export function historyOf (given: readonly GivenMessage[], at: number): SessionMessage[] {
  return given.flatMap((message, index) => {
    const content = textOf(message)
    // A call of a tool, for one, which this agent has not made.
    if (content === '') return []
    const { role } = message
    const kept = { content, turnId: `given-${index}`, at, complete: true }
    if (role === 'assistant' || role === 'user') return [{ role, ...kept }]
    return [{ role: 'user' as const, ...kept, metadata: { role } }]
  })
}

/** A chat as a frame that is not read yet. */
export interface UnreadChat {
  type: 'chat'
  id: string
  agentId: string
  message: string
  sessionId: string | undefined
  metadata: unknown
}

/**
 * With the limits of one that comes over a socket.
 * @param placeByPath what has another place in the request
 * @throws WrongField, or Refusal for one that is too large
 */
export function readChat (frame: UnreadChat, decode: (data: Buffer) => Decoded, placeByPath: Readonly<Record<string, string>>): ReadChat {
  // What is undefined JSON does not say.
  const decoded = decode(jsonOf(frame))
  if (decoded.ok && 'frame' in decoded) {
    // What is read has the type that it was given.
    const chat = decoded.frame as ChatFrame
    return { ...chat, id: frame.id, agentId: frame.agentId }
  }
  if (!('refusal' in decoded)) throw new Refusal('VALIDATION_FAILED', { statusCode: 413, hint: 'larger than `maxPayload`' })
  const { path = '', rule = '' } = decoded.refusal.details ?? {}
  throw new WrongField(placeByPath[path] ?? path, rule)
}

function textOf ({ content }: GivenMessage): string {
  return typeof content === 'string' ? content : (content ?? []).map(({ text }) => text).join('')
}
