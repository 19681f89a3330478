/** A client of `ioredis` (`Redis` or `Cluster`), as far as its shape tells it. */
export interface IoredisClient {
  readonly status: string
  readonly options: object
  readonly isCluster: boolean
  duplicate: (...given: never[]) => unknown
  call: (...given: never[]) => unknown
}

/** A client of `redis` (`createClient` or `createCluster`), as far as its shape tells it. */
export interface NodeRedisClient {
  readonly isOpen: boolean
  duplicate: (...given: never[]) => unknown
  sendCommand: (...given: never[]) => unknown
}

/**
 * Two connections of our own, made of a client's settings: one for commands, one for subscriptions. A command that is sent
 * while there is no connection fails at once, and none is sent twice.
 */
export interface RedisLink {
  readonly isCluster: boolean
  /** Sends a command to where `key` is kept. */
  send (key: string, args: readonly string[]): Promise<unknown>
  /** Resolves when it is in force. */
  subscribe (channel: string): Promise<void>
  unsubscribe (channel: string): Promise<void>
  close (): void
}

export interface RedisLinkEvents {
  onMessage: (channel: string, message: string) => void
  /** Subscriptions are in force again, after some time without: what was published meanwhile is missed. */
  onRestored: () => void
  onError: (err: Error) => void
}

export interface RedisLinkSettings {
  /** What was published is told by the part of a cluster that keeps its key: needs Redis 7. */
  isSharded: boolean
  connectTimeoutMs: number
}

/** So long it takes until the next try to connect, in milliseconds: longer each time, and not the same for all nodes. */
export function backOffMs (tries: number): number {
  return Math.min(2_000, 50 * 2 ** Math.min(tries, 10)) * (0.5 + Math.random() / 2)
}
