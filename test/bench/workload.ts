import type { Target, TargetWish } from './targets.js'

/** What one round measured. Times in milliseconds, memory in KiB, the rest per second of the clock or of the target's processor. */
export type Measured = Record<string, number>

export interface Workload {
  name: string
  /** Targets by name, in the order in which they are measured; the first is what the others are compared with. */
  targets: Record<string, Scene>
  /** Pairs of targets that are compared too: the one, and what it is a multiple of. */
  pairs?: Array<[target: string, reference: string]>
  /** Rounds, where more would teach nothing. */
  rounds?: number
  /** How many rounds stand for one. @default 1 */
  repeats?: number
}

/** One target under one load. */
export interface Scene {
  config: TargetWish
  /** Checks strictly what is not looked at closely while it is timed. */
  check?: (target: Target) => Promise<void>
  measure: (target: Target) => Promise<Measured>
}

/** How much there is to do: 1 for real figures, less to see that everything works. */
export interface Scale {
  /** Of each timed stretch, in milliseconds. */
  windowMs: number
  /** Between WebSocket pings of idle connections, in milliseconds. */
  heartbeatMs: number
  connections: number
  paced: number
  /** Within which the paced chats begin, in milliseconds. */
  rampMs: number
  idle: number
  subscribers: number
  followers: number
  pieces: number
}
