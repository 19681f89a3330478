import t, { type Test } from 'tap'

import type { OfferTerms, TurnEnd } from '../../lib/journal/journal.js'
import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import type { RedisJournalOptions } from '../../lib/journal/redis/redis-journal-options.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { Line } from './line.js'
import { ioredisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'
import { until } from './until.js'

const S = { owner: 'ann', agentId: 'main', sessionId: 's' }
const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } }
const STOP: TurnEnd = { finishReason: 'stop' }
const PATIENCE_MS = 10_000

/** A journal whose way to Redis can be cut, with a turn that runs. */
async function open (t: Test, options: Partial<RedisJournalOptions> = {}) {
  const server = await RedisServer.start(t)
  const admin = await ioredisClient(t, server)
  const line = await Line.to(t, server.port)
  const journal = redisJournal(await ioredisClient(t, server, { port: line.port }), { prefix: 'test:', ...options })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  await journal.offer(S, { turnId: 't1', message: 't1?', acceptedAt: 1, bodyHash: 'h' }, TERMS)
  const run = await journal.take(S, () => true)
  if (run === undefined) throw new Error('nothing was taken')
  const names = await admin.keys('test:*')
  const state = names.find((name) => name.endsWith(':s')) ?? ''
  return { server, admin, line, journal, run, state }
}

// It used to be counted from the answer: a node believed in its right when another could have it already.
t.test('a lease is counted from when it was asked for, not from when the answer came', async (t) => {
  const clock = new ManualClock()
  const { server, line, journal, run } = await open(t, { clock, leaseMs: 6_000, journalGraceMs: 3_500, commandTimeoutMs: PATIENCE_MS })
  const heard: string[] = []
  journal.watch?.((news) => { if (news.kind === 'lost') heard.push(news.code) })
  server.pause()
  const appended = journal.append(run, 1, [{ kind: 'text', content: 'a' }])
  // Less than after which it would be renewed.
  clock.advance(900)
  server.resume()
  t.equal(await appended, true)
  line.cut()
  await t.rejects(async () => journal.claimed(S, { turnId: 't1', bodyHash: 'h' }))
  clock.advance(1_100)
  await new Promise((resolve) => { setImmediate(resolve) })
  clock.advance(2_000)
  await eventually(() => heard.length > 0)
  t.equal(heard[0], 'STORE_UNAVAILABLE')
})

// It used to find that the right was gone already, and left the next chat to wait for a lease.
t.test('who waits for a session is told that it is free when the answer to its release was lost', async (t) => {
  const { admin, line, journal, run, state } = await open(t, { leaseMs: 60_000 })
  const heard: string[] = []
  // From then on Redis knows the script, which has to be told with one answer more.
  await journal.release(run, STOP)
  for (const turnId of ['t2', 't3']) await journal.offer(S, { turnId, message: 'go on', acceptedAt: 1 }, TERMS)
  const next = await journal.take(S, () => true)
  if (next === undefined) throw new Error('nothing was taken')
  // What the release before has told is told by now.
  await new Promise((resolve) => { setImmediate(resolve) })
  journal.watch?.(({ kind }) => { heard.push(kind) })
  line.mute()
  const released = journal.release(next, STOP)
  await until('the release', PATIENCE_MS, async () => await admin.hexists(state, 'r') === 0)
  line.cut()
  line.mend()
  await released
  await t.resolves(eventually(() => heard.includes('free')))
})

// The count of an owner's claims used to go with the live session, and so did claims of turns that nobody could end.
t.test('claims and their count last as long as the window, however short a session is kept', async (t) => {
  const { admin, journal, run } = await open(t, { liveMs: 60_000, maxAgeMs: 1_000, dedupWindowMs: 600_000 })
  const times = async () => {
    const names = (await admin.keys('test:*')).filter((name) => /:c:t1$|:claims$/.test(name))
    return Promise.all(names.map((name) => admin.pttl(name)))
  }
  for (const step of [async () => {}, async () => { await journal.release(run, STOP) }]) {
    await step()
    const left = await times()
    t.equal(left.length, 2)
    t.ok(left.every((ms) => ms > 500_000 && ms <= 600_000), left.join())
  }
})
