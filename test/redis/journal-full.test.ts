import t from 'tap'

import type { OfferTerms } from '../../lib/journal/journal.js'
import { S, TERMS, PATIENCE_MS, open, begin, follow, text } from './journal-scene.js'
import { until } from './until.js'

t.test('a Redis that is full keeps nothing of the chats that it refuses, and takes chats again once it has room', async (t) => {
  const { journal, admin } = await open(t)
  const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await admin.info('memory'))?.[1])
  const chat = (turnId: string) => ({ turnId, message: 'x'.repeat(2_000), acceptedAt: 1, bodyHash: 'h' })
  const refusals = async (sessionId: string, count: number, onBusy: OfferTerms['onBusy']): Promise<number> => {
    let refused = 0
    // One by one: what waits in the buffers of a connection takes memory too.
    for (let index = 0; index < count; index++) {
      const name = `${sessionId}${index}`
      try {
        await journal.offer({ ...S, sessionId: name }, chat(name), { ...TERMS, onBusy })
      } catch {
        refused++
      }
    }
    return refused
  }
  await journal.offer({ ...S, sessionId: 'kept0' }, chat('waits'), TERMS)
  // One that is over: what has expired may be dropped by a chat that is refused, but nothing written behind that.
  const [claims = ''] = (await admin.keys('test:*')).filter((name) => name.endsWith(':claims'))
  t.not(claims, '', 'the claims of the owner')
  await admin.zadd(claims, 1, 'over')
  await admin.config('SET', 'maxmemory', '1')
  const [before, names] = [await used(), (await admin.keys('test:*')).sort()]
  t.equal(await refusals('new', 1_000, 'queue'), 1_000)
  t.equal(await refusals('kept', 1, 'interrupt'), 1, 'one that would displace another')
  await t.rejects(async () => journal.take({ ...S, sessionId: 'kept0' }, () => true), { name: 'StoreError', reason: 'full' })
  t.strictSame((await admin.keys('test:*')).sort(), names)
  t.ok(await used() - before < 1_000_000, 'of 2 MB that were offered')
  t.ok(await admin.zscore(claims, 'over'))
  await admin.config('SET', 'maxmemory', '0')
  t.equal(await refusals('new', 3, 'queue'), 0)
  t.equal((await journal.take({ ...S, sessionId: 'kept0' }, () => true))?.chat.turnId, 'waits')
})

t.test('a Redis that is full can be read, keeps the right to run, and says which journal it is', async (t) => {
  const { admin, make, journal } = await open(t)
  const run = await begin(journal)
  await journal.append(run, 1, [text('a')])
  await admin.config('SET', 'maxmemory', '1')
  const peer = await make({ leaseMs: 300 })
  t.equal(peer.id, journal.id)
  t.match((await follow(peer)).turns, [{ status: 'running', text: 'a' }])
  await admin.config('SET', 'maxmemory', '0')
  const short = { ...S, sessionId: 'short' }
  await peer.offer(short, { turnId: 't1', message: '', acceptedAt: 1 }, TERMS)
  const silent = await peer.take(short, () => true)
  if (silent === undefined) throw new Error('nothing was taken')
  await admin.config('SET', 'maxmemory', '1')
  const state = (await admin.keys('test:*')).filter((name) => name.endsWith(':s'))
  const leases = async (): Promise<number> => Math.max(...(await Promise.all(state.map((name) => admin.hget(name, 'l')))).map(Number))
  const before = await leases()
  await until('a renewal', PATIENCE_MS, async () => await leases() > before)
  await journal.forget(S)
  t.equal(await admin.exists(...state), 1, 'what is forgotten goes')
  await admin.config('SET', 'maxmemory', '0')
  t.ok(await peer.append(silent, 1, [text('b')]))
})
