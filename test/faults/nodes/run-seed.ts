import { Redis } from 'ioredis'

import { Random } from '../../fuzz/random.js'
import type { RedisServer } from '../../redis/redis-server.js'
import { checkAll, type Report } from './checks.js'
import type { FleetNode } from './fleet.js'
import { Hopper, type Chat } from './hopper.js'
import { isIdle } from './is-idle.js'
import type { NodesTools } from './with-nodes.js'

export interface SeedReport extends Report {
  seed: number
  events: string[]
}

const SESSIONS = 4
const CHATS_AT_ONCE = 2
const EVENTS = 5
const PATIENCE_MS = 45_000
const DEAF_MS = 40
const MAX_DEAF_MS = 10_000

/** Some sessions, whose clients go from node to node, while nodes are killed and stopped and Redis is started anew. */
export async function runNodesSeed (seed: number, { server, fleet, prefix, leaseMs }: NodesTools): Promise<SeedReport> {
  const random = new Random(seed)
  const report: SeedReport = { seed, faults: [], ends: {}, events: [] }
  const chats = new Map<string, Chat>()
  const hoppers: Hopper[] = []
  const says: Array<() => void> = []
  for (let index = 0; index < SESSIONS; index++) {
    const sessionId = `s${seed}-${index}`
    // One who speaks, and one who listens.
    const speaker = new Hopper(sessionId, fleet, new Random(seed * 100 + index))
    hoppers.push(speaker, new Hopper(sessionId, fleet, new Random(seed * 100 + 50 + index)))
    let said = 0
    says.push(() => {
      const chat = chatOf(`${sessionId}-${said++}`, random)
      chats.set(chat.id, chat)
      speaker.say(chat)
    })
  }
  for (const say of says) for (let number = 0; number < CHATS_AT_ONCE; number++) say()
  for (let event = 0; event < EVENTS; event++) {
    await pause(random.below(leaseMs))
    for (const hopper of hoppers) if (random.perMille(300)) hopper.hop()
    await happen(random, { server, fleet, leaseMs }, report)
    for (const say of says) say()
  }
  // Also when what is published last is missed, it is told.
  if (random.perMille(400)) {
    report.events.push('deaf to the end')
    for (const until = Date.now() + MAX_DEAF_MS; Date.now() < until && !await isIdle(server.port);) await deafen(server, 2 * DEAF_MS)
  }
  await checkAll({ hoppers, chats, server, fleet, prefix, patienceMs: PATIENCE_MS }, report)
  return report
}

/** Something that happens to the service. */
async function happen (random: Random, { server, fleet, leaseMs }: Pick<NodesTools, 'server' | 'fleet' | 'leaseMs'>, report: SeedReport): Promise<void> {
  const what = random.pick(['kill', 'kill two', 'stop', 'stop', 'stop without redis', 'redis', 'redis', 'slow redis', 'deaf', 'hop'] as const)
  const first = random.below(fleet.nodes.length)
  const [ms, leases] = [random.below(leaseMs), 1.3 * leaseMs + random.below(leaseMs * 0.7)]
  const [node, other] = [fleet.nodes[first], fleet.nodes[(first + 1) % fleet.nodes.length]]
  report.events.push(what)
  switch (what) {
    case 'kill': return killed(node)
    case 'kill two':
      killed(node)
      return killed(other)
    case 'stop':
      node?.pause()
      await pause(leases)
      return node?.resume()
    case 'stop without redis':
      // What the node hears first when it goes on is that its connections are gone.
      node?.pause()
      await restarted(server, ms / 2)
      await pause(leases)
      return node?.resume()
    case 'redis': return await restarted(server, ms / 2)
    case 'slow redis':
      // What it was told meanwhile it does when it goes on, or never.
      server.pause()
      await pause(ms)
      if (ms % 2 === 0) return server.resume()
      return await restarted(server, 0)
    case 'deaf': return await deafen(server, ms)
    case 'hop':
  }
}

async function restarted (server: RedisServer, afterMs: number): Promise<void> {
  await server.kill()
  await pause(afterMs)
  await server.launch()
}

/** For so long nodes are cut off again and again from what is published, and from that alone. */
async function deafen ({ port }: RedisServer, ms: number): Promise<void> {
  const client = new Redis(port, '127.0.0.1')
  try {
    for (const until = Date.now() + ms; Date.now() < until; await pause(DEAF_MS)) await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  } finally {
    client.disconnect()
  }
}

/** It comes back when its program has started again, while more happens. */
function killed (node: FleetNode | undefined): void {
  node?.kill()
  void node?.start().catch(() => {
    // It died again: it is started when all is quiet.
  })
}

function chatOf (id: string, random: Random): Chat {
  // Long enough for a node to be stopped, and to come back, while the session goes on.
  const count = 1 + random.below(random.pick([20, 100, 300]))
  const pauseMs = random.pick([0, 8, 15])
  return { id, message: `${count} ${pauseMs} ${id}`, text: Array.from({ length: count }, (_, index) => `${id}:${index} `).join('') }
}

function pause (ms: number): Promise<void> {
  return new Promise((resolve) => { setTimeout(resolve, ms) })
}
