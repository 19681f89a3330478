import type { Awaitable } from '../awaitable.js'
import type { ServerFrame } from '../protocol/server-frames.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { Identity } from './identity.js'
import type { FrameOutlet } from './outbox.js'
import type { ConnectionFacts } from './websocket-route.js'

/** The connection whose requests are answered. */
export interface Asker {
  readonly id: string
  readonly identity: Identity
  readonly facts: Pick<ConnectionFacts, 'agentId' | 'sessionId'>
  readonly outbox: FrameOutlet
  /** Its chats' ids are no client's: nobody sends them again. */
  readonly hasOwnIds?: boolean | undefined
  isOpen (): boolean
  reply (frame: ServerFrame | string): void
  /** Settles when the peer has taken enough of its replies for one more that may be large; `undefined` when it has. */
  room (): Promise<void> | undefined
  /** One request more, or one less, is without an answer. */
  onRequest (change: 1 | -1): void
  /** A failure of ours. */
  onFailure (err: unknown, text: string): void
}

/** What else that connection has asked for. */
export interface OtherRequests {
  /** Whether the connection may have one more unanswered chat. */
  hasRoom (): boolean
  /** Runs a task, which must not throw, after what the connection has asked of that named session before. */
  inOrder (key: SessionKey, task: () => Awaitable<void>): void
  /** Makes an answer that may be large: when the client has taken enough of those before. Rejects as the task does. */
  large (task: () => Promise<void>): Promise<void>
}
