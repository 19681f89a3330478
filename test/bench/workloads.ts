import { setTimeout as elapse } from 'node:timers/promises'

import { PACE_MS } from './agents.js'
import { measurePaced, measurePacedMemory } from './paced-load.js'
import { percentile } from './statistics.js'
import { checkTurn, openMany, Speaker, type Asking, type Kind } from './speakers.js'
import type { Target } from './targets.js'
import { textFrame, type WireClient } from './wire-client.js'
import type { Scale, Scene, Workload } from './workload.js'

/**
 * So many times as many rounds are measured where what is compared differs less than the pace of a shared machine does from one second
 * to the next. Those of answers are as much shorter: what is compared has to be measured close together.
 */
const STRETCHES = 3

export function makeWorkloads (scale: Scale): Workload[] {
  const { pieces, connections } = scale
  const turnsWithin = (windowMs: number) => (asking: Asking, kind: Kind, followers = 0): Scene['measure'] =>
    measureTurns(windowMs, connections, asking, kind, followers)
  const turns = turnsWithin(scale.windowMs)
  const stretch = turnsWithin(scale.windowMs / STRETCHES)
  const answers = (name: string, asking: Asking, more: Record<string, Scene>): Workload => ({
    name,
    targets: {
      ...looped((kind) => scene({ kind }, asking, 'plain', stretch(asking, 'plain'))),
      'ours-plain': scene({ kind: 'channel' }, asking, 'plain', stretch(asking, 'plain')),
      ...more
    },
    repeats: STRETCHES
  })
  const ready: Asking = { agentId: 'ready', pieces }
  const tracked = (asking: Asking, measure: Scene['measure']): Scene => scene({ kind: 'channel' }, asking, 'tracked', measure)
  const uncoalesced = (asking: Asking): Scene =>
    scene({ kind: 'channel', options: { coalesceMs: 0 } }, asking, 'plain', stretch(asking, 'plain'))
  const immediate: Asking = { agentId: 'immediate', pieces }
  const short: Asking = { agentId: 'ready', pieces: 8 }
  return [
    {
      ...answers('burst', ready, {
        'ours-tracked': tracked(ready, stretch(ready, 'tracked')),
        'ours-tracked, two more devices': tracked(ready, stretch(ready, 'tracked', 2))
      }),
      pairs: [['ours-plain', 'fastify-websocket'], ['ours-tracked', 'ours-plain']]
    },
    answers('burst-microtask', { agentId: 'microtask', pieces }, {}),
    answers('burst-immediate', immediate, { 'ours-plain, coalesceMs: 0': uncoalesced(immediate) }),
    answers('turns', short, { 'ours-tracked': tracked(short, stretch(short, 'tracked')) }),
    { name: 'ping', targets: everyone((config) => ({ config, measure: measurePings(scale.windowMs, connections) })) },
    { name: 'paced', targets: everyone((config) => ({ config, measure: measurePaced(scale, 200, scale.rampMs, 2 * scale.rampMs) })) },
    { name: 'paced-memory', targets: everyone((config) => ({ config, measure: measurePacedMemory(scale) })) },
    // A load of its own: turns that begin all at once, and what that costs.
    { name: 'paced-at-once', targets: everyone((config) => ({ config, measure: measurePaced(scale, 40, PACE_MS, 0) })), rounds: 4 },
    {
      name: 'idle',
      targets: everyone((config) => ({ config: { ...config, heartbeatMs: scale.heartbeatMs }, measure: measureIdle(scale) }))
    },
    { name: 'slow', targets: slowScenes(scale), rounds: 1 },
    {
      name: 'replay',
      targets: {
        'raw-ws, burst': scene({ kind: 'raw-ws' }, ready, 'plain', turns(ready, 'plain')),
        ours: { config: { kind: 'channel' }, measure: measureReplay(scale) }
      }
    },
    {
      name: 'fan-out',
      targets: {
        'raw-ws': { config: { kind: 'raw-ws' }, measure: measureFanOut(scale, false) },
        ours: { config: { kind: 'channel' }, measure: measureFanOut(scale, true) }
      }
    },
    { name: 'long-turn', targets: longTurns(pieces) },
    { name: 'many-sessions', targets: manySessions(scale), repeats: STRETCHES }
  ]
}

function scene (config: Scene['config'], asking: Asking, kind: Kind, measure: Scene['measure']): Scene {
  return { config, measure, check: (target) => checkOnce(target, kind, { ...asking, pieces: Math.min(asking.pieces, 2_000) }) }
}

/** The loops written by hand; the first stands there twice, so that its own spread is seen. */
function looped (make: (kind: 'raw-ws' | 'fastify-websocket') => Scene): Record<string, Scene> {
  return { 'raw-ws': make('raw-ws'), 'raw-ws again': make('raw-ws'), 'fastify-websocket': make('fastify-websocket') }
}

function everyone (make: (config: Scene['config']) => Scene): Record<string, Scene> {
  return { ...looped((kind) => make({ kind })), ours: make({ kind: 'channel' }) }
}

async function checkOnce (target: Target, kind: Kind, asking: Asking): Promise<void> {
  const [client] = await openMany(target.port, 1)
  if (client === undefined) return
  await checkTurn(client, kind, asking)
  client.end()
}

/** Connections that ask one turn after another, each followed by some more. */
function measureTurns (windowMs: number, connections: number, asking: Asking, kind: Kind, followers: number): Scene['measure'] {
  return async (target) => {
    const speakers = (await openMany(target.port, connections)).map((client, i) => new Speaker(client, kind, asking, i))
    const others = await follow(target, speakers, followers)
    const runs = Promise.all(speakers.map((speaker) => speaker.run()))
    const count = (): number => speakers.reduce((sum, speaker) => sum + speaker.count(), 0)
    runs.catch(() => {})
    await Promise.race([runs, elapse(windowMs / 4)])
    const [before, startedAt, cpu] = [count(), performance.now(), await target.cpuMs()]
    for (const { latencies } of speakers) latencies.length = 0
    // Of nothing there is no figure, however slow it is.
    do await Promise.race([runs, elapse(windowMs)])
    while (count() === before)
    const [done, seconds] = [count() - before, (performance.now() - startedAt) / 1_000]
    const cpuSeconds = (await target.cpuMs() - cpu) / 1_000
    for (const speaker of speakers) speaker.stop()
    await runs
    for (const { client } of speakers) client.end()
    for (const client of others) client.end()
    const latencies = speakers.flatMap((speaker) => speaker.latencies)
    const turns = { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) }
    return { 'pieces/s': done / seconds, 'pieces/cpu-s': done / cpuSeconds, ...(asking.pieces < 100 ? turns : {}) }
  }
}

async function follow (target: Target, speakers: Speaker[], followers: number): Promise<WireClient[]> {
  const clients: WireClient[] = []
  for (const { sessionId } of speakers) {
    for (const client of await openMany(target.port, followers)) {
      clients.push(client)
      await subscribed(client, { agentId: 'ready', sessionId })
    }
  }
  return clients
}

async function subscribed (client: WireClient, frame: object): Promise<Record<string, unknown>> {
  const answer = await new Promise<Record<string, unknown>>((resolve) => {
    client.onFrame = (bytes, start, end) => { resolve(JSON.parse(bytes.toString('utf8', start, end)) as Record<string, unknown>) }
    client.send(textFrame({ type: 'subscribe', ...frame }))
  })
  client.onFrame = () => {}
  return answer
}

function measurePings (windowMs: number, connections: number): Scene['measure'] {
  const ping = textFrame({ type: 'ping' })
  return async (target) => {
    const clients = await openMany(target.port, connections)
    let count = 0
    for (const client of clients) {
      client.onFrame = () => { count++; client.send(ping) }
      client.send(ping)
    }
    await elapse(windowMs / 4)
    const [before, startedAt, cpu] = [count, performance.now(), await target.cpuMs()]
    do await elapse(windowMs)
    while (count === before)
    const [done, seconds] = [count - before, (performance.now() - startedAt) / 1_000]
    const cpuSeconds = (await target.cpuMs() - cpu) / 1_000
    for (const client of clients) client.end()
    return { 'pings/s': done / seconds, 'pings/cpu-s': done / cpuSeconds }
  }
}

function measureIdle ({ idle, windowMs, heartbeatMs }: Scale): Scene['measure'] {
  return async (target) => {
    // The first ones make the code warm.
    for (const client of await openMany(target.port, Math.min(100, idle))) client.end()
    await elapse(100)
    const before = await target.report()
    const clients = await openMany(target.port, idle)
    await elapse(heartbeatMs)
    const cpu = await target.cpuMs()
    await elapse(Math.max(windowMs, heartbeatMs) * 2)
    const cpuMs = await target.cpuMs() - cpu
    const after = await target.report()
    for (const client of clients) client.end()
    await elapse(Math.min(500, heartbeatMs))
    return {
      'RSS KiB each': (after.rss - before.rss) / 1024 / idle,
      'heap KiB each': (after.heap - before.heap) / 1024 / idle,
      'cpu ms': cpuMs
    }
  }
}

/** A reader that stops: of the loop's memory a fifth of the turn is enough to see. */
function slowScenes ({ pieces, windowMs }: Scale): Record<string, Scene> {
  const scene = (config: Scene['config'], count: number): Scene => ({
    config,
    async measure (target) {
      const [client] = await openMany(target.port, 1)
      if (client === undefined) return {}
      await checkTurn(client, 'plain', { agentId: 'ready', pieces: Math.min(1_000, pieces) })
      const before = await target.report()
      client.pause()
      client.send(textFrame({ type: 'chat', agentId: 'ready', message: `${count}` }))
      await elapse(windowMs)
      const after = await target.report()
      client.end()
      return { 'RSS MiB more': (after.rss - before.rss) / 2 ** 20, 'heap MiB more': (after.heap - before.heap) / 2 ** 20 }
    }
  })
  return { 'raw-ws': scene({ kind: 'raw-ws' }, pieces * 200), ours: scene({ kind: 'channel', options: { highWaterBytes: 64 * 1024 } }, pieces * 1_000) }
}

/** New subscribers of a session that holds a whole turn, each told all of it. */
function measureReplay ({ subscribers, pieces }: Scale): Scene['measure'] {
  let round = 0
  return async (target) => {
    const [agentId, sessionId] = ['ready', `replay ${round++}`] as const
    const [speaker] = await openMany(target.port, 1)
    const { epoch } = speaker === undefined ? {} : await subscribed(speaker, { agentId, sessionId })
    await new Promise<void>((resolve) => {
      if (speaker === undefined) return
      speaker.onFrame = (bytes, _, end) => { if (isEndOf(bytes, end)) resolve() }
      // With its beginning and its end the journal holds as many entries as it may.
      speaker.send(textFrame({ type: 'chat', agentId, sessionId, message: `${pieces - 2}` }))
    })
    speaker?.end()
    const clients = await openMany(target.port, subscribers)
    const ask = textFrame({ type: 'subscribe', agentId, sessionId, epoch, after: 0 })
    const [cpu, startedAt] = [await target.cpuMs(), performance.now()]
    await Promise.all(clients.map((client) => new Promise<void>((resolve, reject) => {
      let frames = 0
      client.onFrame = (bytes, _, end) => {
        frames++
        if (!isEndOf(bytes, end)) return
        if (frames === pieces + 1) resolve()
        else reject(new Error(`${frames} frames for ${pieces} entries`))
      }
      client.send(ask)
    })))
    const seconds = (performance.now() - startedAt) / 1_000
    const cpuSeconds = (await target.cpuMs() - cpu) / 1_000
    for (const client of clients) client.end()
    const entries = subscribers * pieces
    return { 'pieces/s': entries / seconds, 'pieces/cpu-s': entries / cpuSeconds }
  }
}

function isEndOf (bytes: Buffer, end: number): boolean {
  return bytes[end - 2] === 0x22 && bytes.toString('latin1', end - 22, end) === '"finishReason":"stop"}'
}

/** One turn, told to many. */
function measureFanOut ({ followers, pieces }: Scale, isOurs: boolean): Scene['measure'] {
  return async (target) => {
    const [agentId, sessionId] = ['ready', 'fan-out']
    const clients = await openMany(target.port, followers)
    if (isOurs) for (const client of clients) await subscribed(client, { agentId, sessionId })
    const [cpu, startedAt] = [await target.cpuMs(), performance.now()]
    const told = clients.map((client) => new Promise<void>((resolve, reject) => {
      let frames = 0
      client.onFrame = (bytes, _, end) => {
        frames++
        if (!(isOurs ? isEndOf(bytes, end) : bytes[end - 3] === 0x75)) return
        if (frames === pieces + (isOurs ? 2 : 1)) resolve()
        else reject(new Error(`${frames} frames for ${pieces} pieces`))
      }
    }))
    clients[0]?.send(textFrame({ type: isOurs ? 'chat' : 'broadcast', agentId, sessionId, message: `${pieces}` }))
    await Promise.all(told)
    const seconds = (performance.now() - startedAt) / 1_000
    const cpuSeconds = (await target.cpuMs() - cpu) / 1_000
    for (const client of clients) client.end()
    const deliveries = followers * pieces
    return { 'deliveries/s': deliveries / seconds, 'deliveries/cpu-s': deliveries / cpuSeconds }
  }
}

function longTurns (pieces: number): Record<string, Scene> {
  const total = pieces * 1_000
  const scene = (each: number): Scene => ({
    // A load that is slower than its target for a while has nothing merged: all of it may wait.
    config: { kind: 'channel', options: { highWaterBytes: total * 200 } },
    async measure (target) {
      const [client] = await openMany(target.port, 1)
      if (client === undefined) return {}
      const cpu = await target.cpuMs()
      await new Speaker(client, 'plain', { agentId: 'ready', pieces: each }).run(total / each)
      const cpuSeconds = (await target.cpuMs() - cpu) / 1_000
      client.end()
      return { 'pieces/cpu-s': total / cpuSeconds }
    }
  })
  return { [`turns of ${pieces * 10}`]: scene(pieces * 10), [`one of ${total}`]: scene(total) }
}

function manySessions ({ windowMs, pieces }: Scale): Record<string, Scene> {
  const connections = 10
  const scene = (each: number): Scene => ({
    config: { kind: 'channel' },
    measure: measureTurns(windowMs, connections, { agentId: 'ready', pieces: 8, sessions: each }, 'plain', 0)
  })
  return { '10 sessions': scene(1), '10 sessions again': scene(1), [`${pieces * connections} sessions`]: scene(pieces) }
}
