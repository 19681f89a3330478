import type { UIMessage, UIMessageChunk } from 'ai'

import type { ChannelClient, ChannelClientError, ChannelClientOptions, ServerFrameOf, SessionChoice } from '../client/index.js'
import type { AgentEvents } from '../protocol/agent-events.js'
import type { Awaitable } from '../awaitable.js'
import type { ChannelChat, ChatAsked } from './ui-messages.js'

/** Where the channel is, as for `createChannelClient`, or a client that there is already, and which is left open. */
export type ChannelChatTransportOptions<UI_MESSAGE extends UIMessage = UIMessage> =
  ChatTerms<UI_MESSAGE> & (ChannelClientOptions | { client: ChatClient, url?: undefined })

/** All that the transport does with a client. */
export type ChatClient = Pick<ChannelClient, 'chat' | 'subscribe' | 'cancel' | 'history' | 'close'> & {
  send (type: string, frame: object): Promise<unknown>
}

export interface ChatTerms<UI_MESSAGE extends UIMessage = UIMessage> {
  /** The agent and session that a chat of `useChat` is. @default its `id` is the session */
  session?: ((chatId: string) => SessionChoice) | undefined
  /** Makes a chat of what is to be sent. @default the text of the last message, with `body` and `metadata` as its metadata */
  prepareChat?: ((asked: ChatAsked<UI_MESSAGE>) => Awaitable<ChannelChat>) | undefined
  /**
   * The frame that answers a tool that asks for approval, as the host has defined it.
   * @default `{ type: 'approve', approvalId, ok }`, with `reason` where there is one
   */
  approvalFrame?: ((answer: ApprovalAnswer) => { type: string }) | undefined
  /**
   * Finds what a session's turn is waiting for. It is asked where a turn is joined whose events are told no more: on
   * another device, or when the server has forgotten them.
   * @default nothing
   */
  openApprovals?: ((session: SessionChoice, client: ChatClient) => Awaitable<readonly OpenApproval[]>) | undefined
  /** Which tools are parts of the type `dynamic-tool`, and not of one by their name. @default none */
  isDynamicTool?: ((toolName: string) => boolean) | undefined
  /**
   * The part that an event of a name of the host's own becomes; `undefined` for none.
   * @default `data-` and the name, with the event's data; one whose data has an `id` takes the place of the last with that
   */
  dataPart?: ((event: ServerFrameOf<'event'>) => DataChunk | undefined) | undefined
  /** What a failed turn tells its reader. @default the error's message */
  errorText?: ((error: ChannelClientError) => string) | undefined
  /**
   * Whether an `abortSignal` that fires stops the turn at the server; else it is only no longer read.
   * @default yes, but not where the page is being left, or where the same chat is resumed anew
   */
  isStop?: ((about: { chatId: string, turnId: string }) => boolean) | undefined
  /** Told why a stop did not get to the server, when that was lost for too long. @default nobody is */
  onStopFailed?: ((error: unknown) => void) | undefined
  /**
   * Where the places of running turns are kept over a reload, so that they are told whole and with their tools.
   * `null` for nowhere: then what was said so far comes as one text.
   * @default sessionStorage
   */
  storage?: PageStorage | null | undefined
}

/** What of a browser's `Storage` this needs. */
export interface PageStorage {
  getItem (key: string): string | null
  setItem (key: string, value: string): void
  removeItem (key: string): void
}

/** As for `addToolApprovalResponse`. */
export interface ApprovalAnswer {
  /** The `approval.id` of the tool's part. */
  id: string
  approved: boolean
  reason?: string | undefined
}

export type OpenApproval = AgentEvents['tool-approval-request']

export type DataChunk = Extract<UIMessageChunk, { type: `data-${string}` }>
