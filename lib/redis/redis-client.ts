/**
 * The host's own client, told by its shape: `Redis` or `Cluster` of `ioredis`, or what `createClient` or `createCluster` of `redis` makes.
 * It need not be connected, and is left alone: what works with it takes a duplicate, with the same address, credentials and encryption.
 */
export type RedisClient = IoredisClient | NodeRedisClient

export interface IoredisClient {
  readonly status: string
  call (command: string, ...args: string[]): Promise<unknown>
  duplicate (...given: never[]): unknown
  disconnect (): void
}

export interface NodeRedisClient {
  readonly isOpen: boolean
  sendCommand (...given: never[]): Promise<unknown>
  duplicate (...given: never[]): unknown
  destroy (): void
}

/** One connection to Redis, or those to the nodes of a cluster, by whichever library. */
export interface RedisWire {
  readonly isCluster: boolean
  /** Settles once the first attempt to connect has led somewhere, never rejected. */
  readonly tried: Promise<void>
  isReady (): boolean
  /** @param key where to, in a cluster; one of the keys of the command */
  send (key: string, command: readonly string[]): Promise<unknown>
  /** Connects anew, to whatever its address stands for now. */
  reconnect (): void
  /** Rejects what is under way. */
  close (): void
}

export interface RedisWireOptions {
  /** Milliseconds without a sign of life after which a connection is given up. */
  silenceMs: number
}

/** One connection that only listens, or in a cluster with sharded channels one to each part that has some. */
export interface RedisSubscriber {
  /** Settles when it is in force. Rejects while there is no connection. */
  subscribe (channel: string): Promise<void>
  unsubscribe (channel: string): Promise<void>
  isReady (): boolean
  close (): void
}

export interface RedisSubscriberOptions {
  /** Channels of a cluster are told by the part alone that keeps keys of their hash tag. */
  isSharded: boolean
  /** Milliseconds that a connection may take. */
  connectTimeoutMs: number
  onMessage: (channel: string, message: string) => void
  /** There is a connection, and all subscriptions are in force: at first, and after each break, during which messages were missed. */
  onConnected: () => void
}
