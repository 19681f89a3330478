import { setTimeout } from 'node:timers/promises'

import { backOffMs } from './back-off.js'
import type { NodeRedisClient } from './redis-client.js'

/** A client or a cluster of node-redis, as far as it is used here. */
export interface NodeRedisDuplicate extends NodeRedisConnection {
  readonly isOpen: boolean
  /** The clusters of redis 5 do not say. */
  readonly isReady?: boolean
  /** Of a cluster: its connections. */
  readonly masters?: ReadonlyArray<{ client?: NodeRedisConnection, pubSub?: { client: NodeRedisConnection } }>
  readonly pubSubNode?: { client: NodeRedisConnection }
  connect (): Promise<unknown>
  sendCommand (...given: unknown[]): Promise<unknown>
  subscribe (channel: string, listener: ChannelListener): Promise<unknown>
  sSubscribe (channel: string, listener: ChannelListener): Promise<unknown>
  unsubscribe (channel: string): Promise<unknown>
  sUnsubscribe (channel: string): Promise<unknown>
}

interface NodeRedisConnection {
  destroy (): void
  on (event: string, listener: () => void): unknown
}

type ChannelListener = (message: string, channel: string) => void

interface ConnectionOptions {
  socket?: object
  [option: string]: unknown
}

/** Whether a client of node-redis stands for a cluster. */
export function isNodeRedisCluster (client: object): boolean {
  return 'getSlotRandomNode' in client
}

/**
 * A client of its own with the host's address, credentials and encryption, which never stops trying to connect.
 * @param isClosed from then on it is told no addresses and tries no more
 * @param connection options of each connection
 * @param cluster options beside those, where it stands for a cluster
 */
export function duplicateOf (
  client: NodeRedisClient, isClosed: () => boolean, { socket, ...connection }: ConnectionOptions, cluster: object = {}
): NodeRedisDuplicate {
  // What `isNodeRedisClient` has found has these members.
  const { duplicate, options, _options } = client as unknown as Host
  const reconnectStrategy = (attempt: number): number | false => !isClosed() && backOffMs(attempt)
  const withOwn = (host: ConnectionOptions = {}): ConnectionOptions => ({
    ...host, ...connection, socket: { ...host.socket, ...socket, reconnectStrategy }
  })
  // How replies are to be mapped is the host's affair, for its own commands.
  const own = isNodeRedisCluster(client)
    ? { ...cluster, ...ownAddresses(isClosed, _options), defaults: withOwn(_options?.defaults) }
    : withOwn(options)
  return duplicate.call(client, { ...own, commandOptions: {} })
}

/** Destroys it, and what is connecting as soon as it is connected: by itself that would stay (node-redis 6.3, `#createSocket`). */
export function destroyForGood (own: NodeRedisDuplicate): void {
  const { masters = [], pubSubNode } = own
  for (const client of [own, pubSubNode?.client, ...masters.flatMap((node) => [node.client, node.pubSub?.client])]) {
    client?.on('connect', () => { client.destroy() })
  }
  own.destroy()
}

/**
 * Connects, however long that takes. A client tries again by itself, but a cluster that was never reached does not.
 * @returns `false`: it was closed, or somebody else connects it
 */
export async function connectAtLast (own: NodeRedisDuplicate, isClosed: () => boolean, onFailed: () => void): Promise<boolean> {
  for (let attempt = 0; !isClosed() && !own.isOpen; attempt++) {
    try {
      await own.connect()
      return !isClosed()
    } catch {
      onFailed()
      await setTimeout(backOffMs(attempt), undefined, { ref: false })
    }
  }
  return false
}

interface Host {
  duplicate: (overrides: object) => NodeRedisDuplicate
  options?: ConnectionOptions
  _options?: ClusterOptions
}

interface ClusterOptions {
  defaults?: ConnectionOptions
  nodeAddressMap?: Readonly<Record<string, Address>> | ((address: string) => Address | undefined)
}

interface Address {
  reconnectStrategy?: unknown
  [option: string]: unknown
}

/**
 * The host's cluster writes into the addresses that it is given, where it has no `defaults`: whenever it looks for its nodes
 * anew, that connections to one of them are not to be tried again (node-redis 6.3, `getShards`). Those are all who share it.
 */
function ownAddresses (isClosed: () => boolean, { nodeAddressMap }: ClusterOptions = {}): Pick<ClusterOptions, 'nodeAddressMap'> {
  return {
    nodeAddressMap (address) {
      const found = typeof nodeAddressMap === 'function' ? nodeAddressMap(address) : nodeAddressMap?.[address]
      // A cluster that is destroyed while it asks for its nodes would connect to them afterwards (`#discover`).
      if (isClosed()) throw new Error('the cluster was closed')
      if (found === undefined) return undefined
      const { reconnectStrategy, ...own } = found
      return own
    }
  }
}
