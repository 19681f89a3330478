import t from 'tap'

import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { decodeMessage, encodeEnded } from '../../lib/journal/redis/redis-entries.js'
import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import { RedisKeys } from '../../lib/journal/redis/redis-keys.js'
import { RedisPeers } from '../../lib/journal/redis/redis-peers.js'
import { redisScripts } from '../../lib/journal/redis/redis-scripts.js'
import { RedisLink } from '../../lib/redis/redis-link.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { S, TERMS, STOP, PATIENCE_MS, SETTINGS, open, begin, text, stateOf } from './journal-scene.js'
import { Line } from './line.js'
import { ioredisClient } from './redis-clients.js'
import { until } from './until.js'

t.test('a message that no script has told is no message', async (t) => {
  for (const text of ['', '[1,"e",2,1,0,{}]', '[1,"e",2,1,{"z":1}]', '[1,"e",2,1,0,0]', '["1","e",2,1,0,{"z":1}]']) t.throws(() => decodeMessage(text), text)
  t.strictSame(decodeMessage('[1,"e",2,0,0,{"z":1}]'), { version: 1, epoch: 'e', seq: 2, body: { kind: 'forgotten' } })
})

t.test('options that make no sense are refused', async (t) => {
  const { server, journal } = await open(t)
  const client = await ioredisClient(t, server)
  const make = (options: object) => () => redisJournal(client, { prefix: 'test:', ...options })
  t.throws(make({ prefix: '' }), TypeError)
  t.throws(make({ prefix: '{a}' }), RangeError)
  t.throws(make({ leaseMs: 100, journalGraceMs: 200 }), RangeError)
  t.throws(make({ leaseMS: 100 }), /no option leaseMS/)
  t.throws(make({ maxAgeMs: 1.5 }), RangeError)
  t.throws(() => redisJournal({} as never, { prefix: 'test:' }), TypeError)
  t.throws(() => redisJournal({} as never, undefined as never), new TypeError('a Redis journal takes its options as an object, not undefined'))
  const foreign = memoryJournal()
  foreign.offer(S, { turnId: 't', message: '', acceptedAt: 1 }, TERMS)
  const run = await foreign.take(S, () => true)
  if (run !== undefined) await t.rejects(async () => journal.append(run, 1, []), { message: 'this run is of another journal' })
  await foreign.close()
})

t.test('bytes are a bound too: the oldest go, the newest stays', async (t) => {
  const { make, admin } = await open(t)
  const journal = await make({ maxBytes: 4_000 })
  for (let count = 0; count < 30; count++) await journal.publish(S, 'news', JSON.stringify('x'.repeat(300)))
  const held = await admin.xlen((await stateOf(admin)).replace(/:s$/, ':e'))
  t.ok(held > 2 && held < 15, `${held} are held`)
  await journal.publish(S, 'news', JSON.stringify('x'.repeat(9_000)))
  t.equal(await admin.xlen((await stateOf(admin)).replace(/:s$/, ':e')), 1)
})

t.test('the id of the journal lives as long as its nodes, and is another when Redis was flushed', async (t) => {
  const { server, admin } = await open(t)
  const clock = new ManualClock()
  const line = await Line.to(t, server.port)
  const journal = redisJournal(await ioredisClient(t, server, { port: line.port }), { prefix: 'test:', clock })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  const { id } = journal
  const [key = ''] = await admin.keys('test:*:journal')
  await admin.pexpire(key, 60_000)
  clock.advance(30_000)
  await until('more time', PATIENCE_MS, async () => await admin.pttl(key) > 60_000)
  t.equal(journal.id, id)
  await admin.flushall()
  clock.advance(30_000)
  await eventually(() => journal.id !== id)
  line.cut()
  clock.advance(30_000)
  await t.rejects(async () => journal.claimed(S, { turnId: 't', bodyHash: 'h' }), { name: 'StoreError' }, 'and goes on without Redis')
})

t.test('of a turn whose node is gone after its end only the right to run is left, which is given back', async (t) => {
  const { make } = await open(t)
  const options = { leaseMs: 300, sweepMs: 50 }
  const [journal, peer] = [await make(options), await make(options)]
  const heard: string[] = []
  peer.watch?.(({ kind }) => { heard.push(kind) })
  const run = await begin(journal)
  await journal.append(run, 1, [{ kind: 'end', end: STOP }])
  await journal.offer(S, { turnId: 't2', message: 't2?', acceptedAt: 1 }, TERMS)
  await journal.close()
  await eventually(() => heard.includes('left'))
  t.equal(await peer.salvage?.(S), undefined)
  await eventually(() => heard.includes('free'))
  t.equal((await peer.take(S, () => true))?.chat.turnId, 't2')
})

t.test('a journal whose Redis lets nobody read its settings warns of nothing', async (t) => {
  const { server, admin } = await open(t)
  await admin.call('ACL', 'SETUSER', 'default', '-config')
  const warnings: string[] = []
  const journal = redisJournal(await ioredisClient(t, server), { prefix: 'test:', onWarning: (message) => { warnings.push(message) } })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  t.strictSame(warnings, [])
})

t.test('every key expires, and what nobody uses does so soon', async (t) => {
  const { make, admin } = await open(t)
  const journal = await make({ maxAgeMs: 60_000, dedupWindowMs: 120_000 })
  const run = await begin(journal)
  await journal.append(run, 1, [text('a')])
  await journal.offer(S, { turnId: 't2', message: '', acceptedAt: 1, bodyHash: 'h' }, TERMS)
  const times = async (): Promise<number[]> => Promise.all((await admin.keys('test:*')).map((name) => admin.pttl(name)))
  t.ok((await times()).every((ms) => ms > 120_000), 'as long as something runs or waits')
  await journal.append(run, 2, [{ kind: 'end', end: STOP }])
  await journal.release(run, STOP)
  await journal.withdraw(S, 't2', STOP)
  const left = (await admin.keys('test:*')).filter((name) => name.includes(':live:'))
  t.ok((await Promise.all(left.map((name) => admin.pttl(name)))).every((ms) => ms > 0 && ms <= 120_000))
  t.ok((await times()).every((ms) => ms > 0))
})

t.test('a node that cannot say what it is asked says nothing: who asked does not wait for ever', async (t) => {
  const clock = new ManualClock()
  const said: string[] = []
  const peers = new RedisPeers({
    channel: 'mine', clock, publish: async (_channel, text) => said.push(text), answer: async () => { throw new Error('Redis is away') }
  })
  peers.hear(JSON.stringify({ ask: 'readers', base: 'b', turnId: 't', id: '1', from: 'theirs' }))
  const asked = peers.ask('theirs', { ask: 'readers', base: 'b', turnId: 't' }, 1_000, 1)
  await eventually(() => said.length === 1)
  clock.advance(1_000)
  t.strictSame(await asked, [])
  t.match(JSON.parse(said[0] ?? ''), { ask: 'readers', from: 'mine' }, 'the question, and no answer')
})

t.test('the claims of an owner are counted as long as they are good, however short sessions are kept', async (t) => {
  const { make, admin } = await open(t)
  const journal = await make({ liveMs: 10_000, maxAgeMs: 10_000, dedupWindowMs: 600_000 })
  const times = async () => {
    const claims = (await admin.keys('test:*')).filter((name) => name.endsWith(':claims') || name.includes(':c:'))
    t.equal(claims.length, 2)
    return Promise.all(claims.map((name) => admin.pttl(name)))
  }
  await journal.offer(S, { turnId: 't1', message: '', acceptedAt: 1, bodyHash: 'h' }, TERMS)
  t.ok((await times()).every((ms) => ms > 500_000), 'of a chat that waits')
  await journal.withdraw(S, 't1', STOP)
  t.ok((await times()).every((ms) => ms > 500_000), 'of one that has ended')
})

t.test('the right to run is as old as the question, however late the answer', async (t) => {
  for (const late of ['take', 'append'] as const) {
    await t.test(late, async (t) => {
      const { server } = await open(t)
      const line = await Line.to(t, server.port)
      const clock = new ManualClock()
      const journal = redisJournal(await ioredisClient(t, server, { port: line.port }), {
        prefix: 'test:', clock, leaseMs: 9_000, journalGraceMs: 3_000, commandTimeoutMs: 60_000
      })
      t.teardown(async () => { await journal.close() })
      await journal.ready()
      const lost: unknown[] = []
      journal.watch?.((news) => { if (news.kind === 'lost') lost.push(news.code) })
      await journal.offer(S, { turnId: 't1', message: '', acceptedAt: 1 }, TERMS)
      const run = late === 'append' ? await journal.take(S, () => true) : undefined
      server.pause()
      const asked = run === undefined ? journal.take(S, () => true) : journal.append(run, 1, [text('a')])
      // Once it has been asked.
      await new Promise((resolve) => { setImmediate(resolve) })
      clock.advance(2_900)
      server.resume()
      t.ok(await asked)
      line.cut()
      clock.advance(100)
      await eventually(() => lost.length > 0)
      t.strictSame(lost, ['STORE_UNAVAILABLE'])
    })
  }
})

t.test('a right that is given back twice, since the first answer was lost, lets the next turn run at once', async (t) => {
  const { server, journal } = await open(t)
  const link = new RedisLink('a test', await ioredisClient(t, server), { commandTimeoutMs: PATIENCE_MS })
  t.teardown(() => { link.close() })
  const [place, scripts] = [new RedisKeys('test:').session(S), redisScripts(SETTINGS)]
  const run = async (name: keyof typeof scripts, ...args: string[]) => link.run(scripts[name], [place.base, place.claims], args)
  const taken = await begin(journal) as unknown as { epoch: string, fence: string }
  await journal.offer(S, { turnId: 't2', message: '', acceptedAt: 1 }, TERMS)
  const [end, as] = ['{"finishReason":"stop"}', encodeEnded(STOP)]
  t.strictSame(await run('release', taken.epoch, taken.fence, end, as), ['released', 1])
  t.strictSame(await run('release', taken.epoch, taken.fence, end, as), ['gone', 1])
  t.strictSame(await run('salvage', 'node', 'nonce'), ['ended', 1])
  await journal.take(S, () => true)
  t.strictSame(await run('release', taken.epoch, taken.fence, end, as), ['gone', 0], 'somebody runs')
  t.strictSame(await run('salvage', 'node', 'nonce'), ['none'])
})
