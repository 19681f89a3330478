import t, { type Test } from 'tap'

import type { JournalNews, Run } from '../../lib/journal/journal.js'
import { redisJournal, type RedisJournal } from '../../lib/journal/redis/redis-journal.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { ioredisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'

const S = { owner: 'ann', agentId: 'main', sessionId: 's' }
const TERMS = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } } as const
const STOP = { finishReason: 'stop' } as const
/** Nobody else would look again while a test goes on. */
const SWEEP_MS = 60_000

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

async function begin (journal: RedisJournal): Promise<Run> {
  await offer(journal, 't1')
  const run = await journal.take(S, () => true)
  if (run === undefined) throw new Error('nothing was taken')
  return run
}

async function offer (journal: RedisJournal, turnId: string): Promise<void> {
  await journal.offer(S, { turnId, message: `${turnId}?`, acceptedAt: 1 }, TERMS)
}
