import t from 'tap'

import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { S, TERMS, open, begin, follow, nextOf, text, stateOf } from './journal-scene.js'
import { ioredisClient } from './redis-clients.js'

t.test('a session whose keys are gone is lost to its readers', async (t) => {
  const { make, admin } = await open(t)
  const journal = await make({ maxAgeMs: 1_000 })
  const { next } = await follow(journal)
  await admin.flushall()
  t.equal(await next(), 'lost')
})

t.test('a journal that has fallen back behind what a node has seen is another journal, and its turn ends', async (t) => {
  const { journal, admin } = await open(t)
  const run = await begin(journal)
  await journal.append(run, 1, [text('a'), text('b')])
  const { cursor } = await follow(journal)
  await admin.hset(await stateOf(admin), 'q', 1)
  t.equal(await journal.append(run, 2, [text('c')]), false)
  t.equal(await nextOf(() => cursor.next(0)), 'lost')
  const again = await follow(journal)
  t.not(again.cursor.epoch, cursor.epoch)
  t.strictSame([again.cursor.seq, again.turns], [1, []])
  const whole = await journal.follow(S, { position: { epoch: again.cursor.epoch, seq: 0 } }, () => {})
  t.match(await nextOf(() => whole?.cursor.next(0)), { kind: 'end', turnId: 't1', end: { error: { code: 'TURN_LOST' } } })
})

t.test('a reader that has seen more than there is goes on in another journal', async (t) => {
  const { journal, admin } = await open(t)
  for (let count = 0; count < 5; count++) await journal.publish(S, 'news', '{}')
  const { cursor } = await follow(journal)
  await admin.hset(await stateOf(admin), 'q', 2)
  const again = await follow(journal)
  t.not(again.cursor.epoch, cursor.epoch)
  t.equal(await nextOf(() => cursor.next(0)), 'lost')
})

t.test('a Redis that has lost its last chat, and nothing that has a number, leaves no reader behind', async (t) => {
  type Opened = Awaited<ReturnType<typeof open>> & { base: string, epoch: string }
  const lose = ({ admin, base }: Opened) => (
    admin.multi().hincrby(`${base}:s`, 'v', -1).hdel(`${base}:s`, 'c:t1').del(`${base}:q`, `${base}:c:t1`))
  const rounds: Record<string, (opened: Opened) => Promise<unknown>> = {
    'that hears what is published then': async (opened) => {
      await lose(opened).exec()
      await opened.journal.publish(S, 'news', '{}')
    },
    'whose connection breaks, too': async (opened) => {
      await lose(opened).exec()
      await opened.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      await opened.journal.publish(S, 'news', '{}')
    },
    'when somebody begins to read': async (opened) => {
      await lose(opened).exec()
      await opened.journal.follow(S, {}, () => {})
    },
    'when nothing happens': async (opened) => lose(opened).exec(),
    'that is not told of what is written then': async (opened) => {
      const { base, epoch } = opened
      const message = JSON.stringify([2, epoch, 2, 1, 0, { e: [['v', 'untold', '{}']] }])
      await lose(opened).hincrby(`${base}:s`, 'v', 1).hincrby(`${base}:s`, 'q', 1).xadd(`${base}:e`, '2-0', 'm', message, 'w', '300').exec()
    }
  }
  for (const [name, happen] of Object.entries(rounds)) {
    await t.test(name, async (t) => {
      const opened = await open(t)
      const journal = await opened.make({ maxAgeMs: 1_000 })
      await journal.publish(S, 'before', '{}')
      const { cursor, next } = await follow(journal)
      await journal.offer(S, { turnId: 't1', message: '', acceptedAt: 1 }, TERMS)
      t.ok(await journal.followTurn(S, 't1', () => {}), 'the chat is known')
      await happen({ ...opened, journal, base: (await stateOf(opened.admin)).replace(/:s$/, ''), epoch: cursor.epoch })
      t.equal(await next(), 'lost')
      const again = await follow(journal)
      t.strictSame(again.turns, [])
      await journal.publish(S, 'after', '{}')
      t.match(await again.next(), { name: 'after' })
      again.cursor.close()
    })
  }
})

t.test('who is told that a journal has fallen back goes on in the new one, though he has seen more of the old one', async (t) => {
  const { server, admin, journal } = await open(t)
  // Its clock stands still: it looks for nothing by itself.
  const still = redisJournal(await ioredisClient(t, server), { prefix: 'test:', clock: new ManualClock() })
  t.teardown(async () => { await still.close() })
  await still.ready()
  const watched = await follow(still)
  await follow(journal)
  for (const turnId of ['t1', 't2', 't3']) await journal.offer(S, { turnId, message: '', acceptedAt: 1 }, TERMS)
  t.ok(await still.followTurn(S, 't3', () => {}), 'all is known')
  await admin.hincrby(await stateOf(admin), 'v', -3)
  await follow(journal)
  t.equal(await watched.next(), 'lost')
})
