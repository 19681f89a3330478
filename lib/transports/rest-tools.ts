import type { ListedAgents } from '../agent/agents.js'
import type { Decoded } from '../protocol/decode.js'
import type { Connections } from './connections.js'
import type { ChannelFacts } from './rest-schemas.js'
import type { ReadingLimits, ReadingTools } from './reading.js'

/** With what a channel answers requests over HTTP. */
export interface RestTools extends ReadingTools {
  agents: ListedAgents
  /** What a socket is told by `ready`. */
  facts: ChannelFacts
  connections: Connections
  /** Reads frames of the protocol's own types. */
  decode: (data: Buffer) => Decoded
  limits: RestLimits
}

export interface RestLimits extends ReadingLimits {
  heartbeatMs: number
  slowConsumerTimeoutMs: number
}
