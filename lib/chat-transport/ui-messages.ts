import type { ChatTransport, UIMessage } from 'ai'

import type { BusyPolicy, FinishReason, SessionMessage, Usage } from '../client/index.js'
import { MAX_NAME_LENGTH, NAME_PATTERN } from '../protocol/names.js'

/** The `metadata` of the messages that this transport makes. */
export interface ChannelMessageMetadata {
  /** Names the turn, for `cancel` and the log of the server. */
  turnId: string
  /** `false` for an answer that was cut off; missing while it is written. */
  isComplete?: boolean
  finishReason?: FinishReason
  usage?: Usage
}

/** What `useChat` wants to be sent: `messages`, and what was given along. */
export type ChatAsked<UI_MESSAGE extends UIMessage> = Parameters<ChatTransport<UI_MESSAGE>['sendMessages']>[0]

/** A chat, as the channel takes it. */
export interface ChannelChat {
  message: string
  /** For the agent: at most `maxMetadataBytes`. */
  metadata?: Record<string, unknown> | undefined
  /** Names the turn; under one id a chat runs once. @default a new one */
  id?: string | undefined
  /** @default the server's option */
  onBusy?: BusyPolicy | undefined
}

/**
 * The text of the last message, which is to be the user's; its id names the turn, except where it is said again. What was
 * given to `sendMessage` as `body` and `metadata` goes to the agent.
 * @throws Error for what is no text
 */
export function chatOf<UI_MESSAGE extends UIMessage> (asked: ChatAsked<UI_MESSAGE>): ChannelChat {
  const { trigger, messageId, messages, metadata, body } = asked
  const last = messages.at(-1)
  if (last?.role !== 'user') {
    throw new Error('Only what a user says can be sent: give `prepareChat` to make a chat of something else, and answer approvals by `approve`')
  }
  const texts = last.parts.flatMap((part) => part.type === 'text' ? [part.text] : [])
  if (texts.length < last.parts.length) throw new Error('A chat is a text: give `prepareChat` to say what becomes of files and other parts')
  const given = { ...body, ...typeof metadata === 'object' ? metadata : {} }
  return {
    message: texts.join('\n'),
    ...trigger === 'submit-message' && messageId === undefined && isName(last.id) ? { id: last.id } : {},
    ...Object.keys(given).length === 0 ? {} : { metadata: given }
  }
}

const NAME = new RegExp(NAME_PATTERN)

/** Ids of messages are the host's to make: one that is no name here names no turn. */
function isName (id: string): boolean {
  return id.length <= MAX_NAME_LENGTH && NAME.test(id)
}

/** The id of a turn's answer, here and in `toUIMessages`: the question has that of the turn. */
export function answerIdOf (turnId: string): string {
  return `${turnId}:answer`
}

/** A page of the channel's history as messages of the AI SDK: texts; what tools did is not in it. */
export function toUIMessages (history: ReadonlyArray<Pick<SessionMessage, 'role' | 'content' | 'turnId' | 'complete'>>) {
  return history.map(({ role, content, turnId, complete }): UIMessage<ChannelMessageMetadata> => ({
    id: role === 'user' ? turnId : answerIdOf(turnId),
    role,
    parts: [{ type: 'text', text: content, ...role === 'user' ? {} : { state: 'done' } }],
    metadata: role === 'user' ? { turnId } : { turnId, isComplete: complete }
  }))
}
