import { setTimeout as elapse } from 'node:timers/promises'

import { PACE_MS, sharedNow } from './agents.js'
import { Speaker, openMany, type Asking } from './speakers.js'
import { percentile } from './statistics.js'
import type { Scale, Scene } from './workload.js'

/**
 * Chats that begin one after the other within some time, a piece each every `PACE_MS`. Timed is what is due in a stretch of so
 * many pieces, which begins some time after the first chat does. Times in milliseconds.
 */
export function measurePaced ({ paced, pieces }: Scale, maxPieces: number, withinMs: number, fromMs: number): Scene['measure'] {
  const each = Math.min(maxPieces, pieces)
  // The first chat to begin goes on to the end of the stretch.
  const asking: Asking = { agentId: 'paced', pieces: each + Math.ceil(fromMs / PACE_MS) + 1 }
  return async (target) => {
    const speakers = (await openMany(target.port, paced)).map((client) => new Speaker(client, 'plain', asking))
    let before = await target.cpuMs()
    const startedAt = sharedNow()
    const spoken = Promise.all(speakers.map(async (speaker, i) => {
      await elapse((i * withinMs) / paced)
      await speaker.run(1)
    }))
    spoken.catch(() => {})
    const from = startedAt + fromMs
    const to = from + each * PACE_MS
    if (fromMs > 0) {
      await Promise.race([spoken, elapse(fromMs)])
      before = await target.cpuMs()
    }
    await Promise.race([spoken, elapse(to - sharedNow())])
    const { cpuMs, rss } = await target.usage()
    await spoken
    for (const { client } of speakers) client.end()
    const delays = speakers.flatMap(({ delays, dues }) => delays.filter((_, i) => isBetween(dues[i], from, to)))
    return { 'cpu s': (cpuMs - before) / 1_000, p50: percentile(delays, 0.5), p99: percentile(delays, 0.99), 'RSS MiB': rss / 2 ** 20 }
  }
}

/**
 * What so many connections take, whose heap was collected before: else it is also what earlier rounds have left, for as long as
 * V8 lets that gather. Of memory only: a full collection while nothing runs makes V8 forget compiled code.
 */
export function measurePacedMemory (scale: Scale): Scene['measure'] {
  const measure = measurePaced(scale, 200, scale.rampMs, 2 * scale.rampMs)
  return async (target) => {
    await target.report()
    const { 'RSS MiB': rss = NaN } = await measure(target)
    return { 'RSS MiB': rss }
  }
}

function isBetween (value: number | undefined, from: number, to: number): boolean {
  return value !== undefined && value >= from && value < to
}
