import t, { type Test } from 'tap'

import type { JournalNews } from '../../lib/journal/journal.js'
import { redisJournal, type RedisJournal } from '../../lib/journal/redis/redis-journal.js'
import { RedisKeys } from '../../lib/journal/redis/redis-keys.js'
import { RedisScriptRunner } from '../../lib/journal/redis/redis-script-runner.js'
import { redisScripts } from '../../lib/journal/redis/redis-scripts.js'
import { RedisSweep } from '../../lib/journal/redis/redis-sweep.js'
import { RedisLink } from '../../lib/redis/redis-link.js'
import { StoreError } from '../../lib/store-error.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { begin, open, PATIENCE_MS, S, SETTINGS, STOP, TERMS } from './journal-scene.js'
import { ioredisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'
import { until } from './until.js'

/** Nobody else would look again while a test goes on. */
const SWEEP_MS = 60_000
/** A sweep whose node does something about all that it finds. */
const SWEEPING = { leaseMs: 10_000, sweepMs: 50, onFree: () => true, onLeft: async () => true }

/** A node that sweeps when it is told to. */
interface Sweeper {
  journal: RedisJournal
  /** Looks until it has heard so many more. */
  hear(kind: JournalNews['kind'], count?: number): Promise<void>
}

t.test('what one node can do nothing about, another is told at once, however often the first looks', async (t) => {
  const server = await RedisServer.start(t)
  const [first, second] = [await sweeper(t, server, false), await sweeper(t, server, true)]
  const run = await begin(first.journal)
  await offer(second.journal, 't2')
  await first.journal.release(run, STOP)
  await first.hear('free', 3)
  await second.hear('free')
  t.equal((await second.journal.take(S, () => true))?.chat.turnId, 't2')
})

t.test('the same where a run was left', async (t) => {
  const server = await RedisServer.start(t)
  const gone = await sweeper(t, server, true)
  const [first, second] = [await sweeper(t, server, false), await sweeper(t, server, true)]
  await begin(gone.journal)
  await gone.journal.close()
  await first.hear('left', 3)
  await second.hear('left')
  t.match(await second.journal.salvage?.(S), { chat: { turnId: 't1' } })
})

t.test('a session that begins to live while somebody looks at it is looked at again', async (t) => {
  const { server, admin } = await open(t)
  const link = new RedisLink('a test', await ioredisClient(t, server), { commandTimeoutMs: PATIENCE_MS })
  t.teardown(() => { link.close() })
  const clock = new ManualClock()
  const keys = new RedisKeys('look:')
  const place = keys.session(S)
  let looks = 0
  const sweep = new RedisSweep({
    keys,
    runner: new class extends RedisScriptRunner {
      override async run (...asked: Parameters<RedisScriptRunner['run']>): Promise<unknown> {
        const answer = await super.run(...asked)
        // It was idle, and now another node has begun a turn in it.
        if (asked[0] === 'look') {
          await sweep.add(place)
          looks++
        }
        return answer
      }
    }(link, redisScripts(SETTINGS), clock, () => 0),
    clock,
    ...SWEEPING
  })
  t.teardown(() => { sweep.close() })
  await sweep.add(place, 0)
  await until('a second look', PATIENCE_MS, async () => {
    clock.advance(50)
    return looks > 1
  })
  t.equal(await admin.zcard(keys.indexOf(place)), 1)
})

t.test('a session that cannot be looked at keeps nobody from the others, unless Redis is away', async (t) => {
  for (const [kind, expected] of [['full', ['x', 'y']], ['away', ['x']]] as const) {
    const looked: string[] = []
    const clock = new ManualClock()
    const keys = new RedisKeys('look:')
    const places = ['x', 'y'].map((sessionId) => keys.session({ ...S, sessionId }))
    const ended = deferred()
    const sweep = new RedisSweep({
      keys,
      runner: {
        run: async (name: string, [base]: readonly string[]): Promise<unknown> => {
          if (name === 'indexDue') return ['0', places.map(({ text }) => text)]
          looked.push(places.find((place) => place.base === base)?.key.sessionId ?? '')
          if (looked.length === expected.length) ended.resolve()
          throw new StoreError(kind, 'not now')
        }
      } as unknown as RedisScriptRunner,
      clock,
      ...SWEEPING
    })
    t.teardown(() => { sweep.close() })
    clock.advance(50)
    await ended.promise
    await new Promise((resolve) => { setImmediate(resolve) })
    t.strictSame(looked, expected, kind)
  }
})

async function sweeper (t: Test, server: RedisServer, answer: boolean): Promise<Sweeper> {
  const clock = new ManualClock()
  const client = await ioredisClient(t, server)
  const journal = redisJournal(client, { prefix: 'test:', leaseMs: 300, sweepMs: SWEEP_MS, liveMs: 10 * SWEEP_MS, clock })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  const heard: string[] = []
  journal.watch?.(({ kind }) => {
    heard.push(kind)
    return answer
  })
  return {
    journal,
    async hear (kind, count = 1) {
      heard.length = 0
      await eventually(() => {
        clock.advance(SWEEP_MS)
        return heard.filter((each) => each === kind).length >= count
      })
    }
  }
}

async function offer (journal: RedisJournal, turnId: string): Promise<void> {
  await journal.offer(S, { turnId, message: `${turnId}?`, acceptedAt: 1 }, TERMS)
}
