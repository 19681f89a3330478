import type { FastifyBaseLogger } from 'fastify'

import type { Agents } from '../agent/agents.js'
import type { Clock } from '../clock.js'
import type { Journal } from '../journal/journal.js'
import type { BusyPolicy, DisconnectPolicy } from '../protocol/names.js'
import type { SessionStore } from '../sessions/session-store.js'
import type { LiveTurnLimits } from './live-turns.js'
import type { TurnLimits } from './turn-tools.js'

export interface EngineLimits extends TurnLimits, LiveTurnLimits {
  onBusy: BusyPolicy
  onDisconnect: DisconnectPolicy
  disconnectGraceMs: number
  maxQueuedTurns: number
  cancelGraceMs: number
  retryAfterMs: number
}

/** Where sessions live: a journal for what happens, a store for what was said. */
export interface SessionHome {
  journal: Journal
  store: SessionStore
}

export interface EngineTools {
  agents: Agents
  /** Home of the sessions that clients name. */
  named: SessionHome
  /** Home of the sessions of connections: always this node's memory. */
  unnamed: SessionHome
  limits: EngineLimits
  clock: Clock
  log: FastifyBaseLogger
}
