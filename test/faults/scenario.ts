import type { MemoryJournalOptions } from '../../lib/journal/memory-journal.js'
import type { WsChannelOptions } from '../../lib/options.js'
import { Random } from '../fuzz/random.js'

/** What one seed is about. */
export interface Scenario {
  journal: MemoryJournalOptions & { maxEntries: number }
  isDelayed: boolean
  options: WsChannelOptions
  /** Bytes on their way to one client. */
  window: number
  clientsPerOwner: number
  steps: number
  sessionsPerOwner: number
  hasHostReader: boolean
  /** The routes over HTTP are there too. */
  hasRest: boolean
  /** Time that passes with each run of the event loop, in milliseconds. */
  stepMs: number
}

const NO_LIMIT = 1e9

export function scenarioOf (seed: number): Scenario {
  const random = new Random(seed)
  const isSmall = random.perMille(600)
  const size = 16 + random.below(49)
  const journal = {
    maxEntries: isSmall ? size : 1024,
    maxBytes: random.perMille(300) ? 3_000 + random.below(30_000) : 1 << 24,
    maxAgeMs: NO_LIMIT,
    dedupWindowMs: NO_LIMIT,
    ...(random.perMille(120) ? { maxSessions: 2 + random.below(3) } : {})
  }
  const isDelayed = random.perMille(300)
  // What is written in one round trip, there is room for: else a plain chat can be over and forgotten before it is followed.
  if (isDelayed) journal.maxEntries = Math.max(48, journal.maxEntries)
  return {
    journal,
    isDelayed,
    window: random.pick([1_000, 4_000, 16_000, 1 << 20]),
    clientsPerOwner: 2 + random.below(3),
    steps: 6 + random.below(18),
    sessionsPerOwner: 1 + random.below(3),
    hasHostReader: random.perMille(250),
    hasRest: false,
    stepMs: random.pick([2, 5, 10]),
    options: {
      highWaterBytes: random.pick([400, 2_000, 8_000, 65_536]),
      onBusy: random.pick(['queue', 'queue', 'reject', 'interrupt']),
      ...(random.perMille(250) ? { onDisconnect: 'cancel', disconnectGraceMs: random.pick([1, 200, 600]) } : {}),
      maxQueuedTurns: random.pick([2, 10, 10]),
      maxHistoryPageBytes: random.pick([2_000, 1 << 20]),
      maxPendingRequests: random.pick([2, 16, 16]),
      maxPendingReplyBytes: random.pick([2_000, 1 << 18]),
      maxAnswerBytes: random.pick([6_000, 1 << 22, 1 << 22]),
      slowConsumerTimeoutMs: random.pick([600, 3_000, 30_000]),
      firstPartTimeoutMs: 1_500,
      idleTimeoutMs: 1_500,
      cancelGraceMs: random.pick([20, 500]),
      heartbeatMs: NO_LIMIT,
      maxFramesPerSecond: NO_LIMIT,
      maxFramesPerSecondPerOwner: NO_LIMIT,
      maxErrorsPerMinute: NO_LIMIT,
      maxErrorsPerMinutePerOwner: NO_LIMIT,
      drainTimeoutMs: 1_000
    }
  }
}
