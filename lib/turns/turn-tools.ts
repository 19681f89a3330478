import type { FastifyBaseLogger } from 'fastify'

import type { Clock } from '../clock.js'
import type { Journal } from '../journal/journal.js'
import type { SessionStore } from '../sessions/session-store.js'
import type { WritableJournal } from './journal-writer.js'

export interface TurnLimits {
  firstPartTimeoutMs: number
  idleTimeoutMs: number
  turnTimeoutMs: number
  storeTimeoutMs: number
  journalTimeoutMs: number
  slowConsumerTimeoutMs: number
  maxAnswerBytes: number
  maxEventBytes: number
}

export interface TurnTools {
  journal: WritableJournal & Pick<Journal, 'pace'>
  store: SessionStore
  limits: TurnLimits
  clock: Clock
  log: FastifyBaseLogger
}

/** Who is told how far a turn is. What it does must not throw. */
export interface TurnRunOwner {
  /** Its terminal entry is written, or could not be. */
  onEnded (): void
  /** The executor has nothing more to do. */
  onReturned (): void
}
