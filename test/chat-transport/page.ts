import type * as sdk from 'ai'
import type { AbstractChat, ChatInit, ChatState, ChatStatus, UIMessage } from 'ai'
import type { Test } from 'tap'
import { WebSocket } from 'ws'

import { channelChatTransport, type ChannelChatTransport, type ChannelChatTransportOptions } from '../../lib/chat-transport/index.js'
import { eventually } from '../helpers/eventually.js'

/** The major versions of the SDK, as far as a chat is concerned. */
export type Sdk = Pick<typeof sdk, 'AbstractChat'>

/** What a page keeps over a reload. */
export class MemoryStorage {
  readonly items = new Map<string, string>()
  getItem (key: string) { return this.items.get(key) ?? null }
  setItem (key: string, value: string) { this.items.set(key, value) }
  removeItem (key: string) { this.items.delete(key) }
}

/** As `useChat` keeps it, without React. */
class State implements ChatState<UIMessage> {
  status: ChatStatus = 'ready'
  error: Error | undefined
  messages: UIMessage[]

  constructor (messages: UIMessage[]) {
    this.messages = messages
  }

  pushMessage = (message: UIMessage) => { this.messages = [...this.messages, structuredClone(message)] }
  popMessage = () => { this.messages = this.messages.slice(0, -1) }
  replaceMessage = (index: number, message: UIMessage) => { this.messages = this.messages.with(index, structuredClone(message)) }
  snapshot = <T>(thing: T): T => structuredClone(thing)
}

export interface OpenChat {
  chat: AbstractChat<UIMessage>
  finishes: Array<{ isAbort: boolean, isError: boolean, finishReason?: string | undefined }>
}

/** A page that was just loaded: its connection and its memory are new. */
export class Page {
  readonly transport: ChannelChatTransport
  readonly #sdk: Sdk

  constructor (t: Test, sdk: Sdk, url: string, options: Partial<ChannelChatTransportOptions> = {}) {
    this.#sdk = sdk
    this.transport = channelChatTransport({
      url, WebSocket, minBackOffMs: 5, maxBackOffMs: 20, storage: null, signal: lifetimeOf(t), ...options
    } as ChannelChatTransportOptions)
  }

  /** As a page opens a chat: with what was said, and what is being said. */
  async open (id: string, { isResumed = true, ...init }: Partial<ChatInit<UIMessage>> & { isResumed?: boolean } = {}): Promise<OpenChat> {
    const { messages } = await this.transport.messages(id)
    const finishes: OpenChat['finishes'] = []
    class Chat extends this.#sdk.AbstractChat<UIMessage> {}
    const chat = new Chat({
      id, transport: this.transport, state: new State(messages), onFinish: (finish) => { finishes.push(finish) }, ...init
    })
    if (isResumed) chat.resumeStream().catch(() => {})
    return { chat, finishes }
  }
}

/** Closes what a test has opened, whatever is still read of it. */
export function lifetimeOf (t: Test): AbortSignal {
  const lifetime = new AbortController()
  t.teardown(() => { lifetime.abort() })
  return lifetime.signal
}

/** What a chat shows of its last message, without what is only there while it is written. */
export function partsOf (chat: AbstractChat<UIMessage>): unknown[] {
  return (chat.lastMessage?.parts ?? []).map((part) => JSON.parse(JSON.stringify(part)) as unknown)
}

export function textOf (chat: AbstractChat<UIMessage>): string {
  return (chat.lastMessage?.parts ?? []).map((part) => part.type === 'text' ? part.text : '').join('')
}

export function rolesOf (chat: AbstractChat<UIMessage>): string[] {
  return chat.messages.map(({ role }) => role)
}

export async function showing (chat: AbstractChat<UIMessage>, text: string): Promise<void> {
  await eventually(() => chat.lastMessage?.role === 'assistant' && textOf(chat).includes(text))
}

export async function settled (chat: AbstractChat<UIMessage>): Promise<void> {
  await eventually(() => chat.status === 'ready' || chat.status === 'error')
}
