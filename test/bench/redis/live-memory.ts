import type { Redis } from 'ioredis'

import { elapse, nameOf, type Measured, type Scale, type Target } from './loads.js'
import { textOf, type Asked } from './source.js'
import { memoryOf } from './usage.js'

/** What live sessions take in Redis, whose pieces are ready at once, or come so slowly that each is written by itself. */
export function liveMemory ({ live, liveSlowly, pieces, slowlyMs }: Scale, ready: 'at once' | 'slowly') {
  const [sessions, asked]: [number, Asked] = ready === 'at once'
    ? [live, { pieces, ready, isHeld: true }]
    : [liveSlowly, { pieces, ready: slowlyMs, isHeld: true }]
  return async ({ speaker, redis }: Target): Promise<Measured> => {
    const before = await memoryOf(redis)
    const [entriesBefore, messagesBefore] = await writtenSoFar(redis)
    await Promise.all(Array.from({ length: sessions }, async (_, index) => {
      await speaker.tell({ order: 'say', name: nameOf(index), text: textOf(asked) })
    }))
    let [entries, messages] = [entriesBefore, messagesBefore]
    // Each turn's beginning is an entry and a message, too.
    while (entries < entriesBefore + sessions * (pieces + 1)) {
      await elapse(50);
      [entries, messages] = await writtenSoFar(redis)
    }
    const bytes = await memoryOf(redis) - before
    return { 'MiB/1,000 sessions': bytes / 2 ** 20 / sessions * 1_000, 'bytes/piece': bytes / sessions / pieces, 'pieces/append': sessions * pieces / (messages - messagesBefore - sessions) }
  }
}

async function writtenSoFar (redis: Redis): Promise<[entries: number, messages: number]> {
  return await redis.eval(COUNT, 0) as [number, number]
}

const COUNT = `
local entries, messages = 0, 0
for _, key in ipairs(redis.call('KEYS', '*:s')) do entries = entries + redis.call('HGET', key, 'q') end
for _, key in ipairs(redis.call('KEYS', '*:e')) do messages = messages + redis.call('XLEN', key) end
return {entries, messages}
`
