import type { ChannelSocket } from './socket.js'

/** What an outbox sends through. Only one that is direct takes bytes. */
export type OutboxSocket = Pick<ChannelSocket, 'isDirect' | 'bufferedBytes' | 'unsentBytes' | 'send' | 'batch'> &
  Partial<Pick<ChannelSocket, 'write'>>

export interface OutboxLimits {
  /** Above so many unsent bytes nothing more is taken from the sources. */
  highWaterBytes: number
}

/** Who is told what becomes of it. */
export interface OutboxEvents {
  /** All that could be sent now, is. Not told where all of it were pieces, behind which their turns go on, and nothing was urgent. */
  onPumped(): void
  /** The system has taken a reply. */
  onReplyWritten(): void
  /** A source has failed. */
  onSourceFailed(err: unknown): void
  /** A source cannot tell what comes next. */
  onLost(): void
}
