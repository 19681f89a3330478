import t, { type Test } from 'tap'

import type { Entry } from '../../lib/journal/journal.js'
import { RedisKeys } from '../../lib/journal/redis/redis-keys.js'
import { S, STOP, TERMS, all, open, text, type Made } from './journal-scene.js'
import { openReplicas } from './replicas-scene.js'
import { until } from './until.js'

const PATIENCE_MS = 10_000
const PLACE = new RedisKeys('test:').session(S)
const keyOf = (sessionId: string) => ({ ...S, sessionId })
const chatOf = (turnId: string) => ({ turnId, message: `${turnId}?`, acceptedAt: 1, bodyHash: 'h' })

/** A turn from its chat to its end; all that its session tells from the chat's place on. */
async function runTurn (journal: Made, sessionId: string, turnId: string): Promise<string[]> {
  const key = keyOf(sessionId)
  const offer = await journal.offer(key, chatOf(turnId), TERMS)
  if (!('accepted' in offer) || !offer.accepted) throw new Error('it was not taken')
  const { epoch, seq } = offer
  const followed = await journal.follow(key, { position: { epoch, seq }, turns: new Set([turnId]) }, () => {})
  if (followed === undefined) throw new Error('there is no room')
  const run = await journal.take(key, () => true)
  if (run !== undefined) await journal.append(run, 1, [text(`${turnId} says`), { kind: 'end', end: STOP }])
  if (run !== undefined) await journal.release(run, STOP)
  const told = await all(followed.cursor)
  followed.cursor.close()
  return told
}

t.test('a session that a chat has made is read without asking Redis', async (t) => {
  const { journal, admin } = await open(t)
  await admin.config('RESETSTAT')
  t.strictSame(await runTurn(journal, 's', 't1'), ['turn-started', 't1 says', 'end stop'])
  // Only who reads asks for a range of what was written.
  t.notMatch(await admin.info('commandstats'), /cmdstat_xrange/)
})

t.test('a session that was there before a chat is read whole, by whoever comes later too', async (t) => {
  const { journal, make } = await open(t)
  await runTurn(journal, 's', 't1')
  const peer = await make()
  t.strictSame(await runTurn(peer, 's', 't2'), ['turn-started', 't2 says', 'end stop'])
  for (const [name, one] of Object.entries({ journal, peer })) {
    const { epoch } = await one.publish(keyOf('s'), 'news', '{}')
    const followed = await one.follow(keyOf('s'), { position: { epoch, seq: 0 } }, () => {})
    t.equal(followed?.recovered, true, name)
    const entries: Array<Entry | 'lost'> = []
    for (let entry = followed?.cursor.next(0); entry !== undefined; entry = followed?.cursor.next(0)) entries.push(entry)
    t.same(entries.slice(0, 6).map((entry) => entry === 'lost' ? entry : entry.seq), [1, 2, 3, 4, 5, 6], name)
    followed?.cursor.close()
  }
})

t.test('two nodes that begin a session at once tell their readers all the same', async (t) => {
  const { journal, make } = await open(t)
  const nodes = [journal, await make()]
  for (let round = 0; round < 30; round++) {
    const key = keyOf(`s${round}`)
    const cursors = await Promise.all(nodes.map(async (node, index) => {
      const offer = await node.offer(key, chatOf(`t${index}`), TERMS)
      if (!('accepted' in offer) || !offer.accepted) throw new Error('it was not taken')
      const { epoch, seq } = offer
      return (await node.follow(key, { position: { epoch, seq }, turns: new Set([`t${index}`]) }, () => {}))?.cursor
    }))
    for (let turn = 0; turn < 2; turn++) {
      const run = await nodes[round % 2]?.take(key, () => true)
      if (run === undefined) throw new Error('nothing was taken')
      await nodes[round % 2]?.append(run, 1, [text(`${run.chat.turnId} says`), { kind: 'end', end: STOP }])
      await nodes[round % 2]?.release(run, STOP)
    }
    for (const [index, cursor] of cursors.entries()) {
      if (cursor === undefined) throw new Error('there is no room')
      t.strictSame(await all(cursor), ['turn-started', `t${index} says`, 'end stop'], `round ${round}`)
      cursor.close()
    }
  }
})

t.test('a chat whose place in the index could not be had is refused, and is in the index if it has to stay', async (t) => {
  const { journal, make, admin } = await open(t)
  const peer = await make()
  const index = new RedisKeys('test:', 1).indexOf(new RedisKeys('test:', 1).session(S))
  await admin.set(index, 'no index')
  await t.rejects(async () => journal.offer(S, chatOf('t1'), TERMS), /WRONGTYPE/)
  t.equal(await journal.retract(S, chatOf('t1')), true, 'it was written, and is taken back')
  await t.rejects(async () => journal.offer(S, chatOf('t2'), TERMS), /WRONGTYPE/)
  t.match(await peer.claimed(S, chatOf('t2')), { isSame: true }, 'somebody was told that it is known')
  await admin.del(index)
  t.equal(await journal.retract(S, chatOf('t2')), false)
  await until('its place in the index', PATIENCE_MS, async () => await admin.zcard(index) === 1)
  t.equal((await peer.take(S, () => true))?.chat.turnId, 't2')
})

t.test('a chat is taken also where nobody can listen yet, and read by who can', async (t) => {
  const { replicas, accept, subscriber, reads } = growing(t)
  subscriber.subscribe = async () => { throw new Error('there is no connection yet') }
  await accept(1)
  await t.rejects(replicas.open(PLACE, false), { name: 'StoreError', reason: 'away' })
  t.equal(reads(), 0)
  subscriber.subscribe = async () => {}
  t.ok((await replicas.open(PLACE, false))?.log.find('t1'))
  t.equal(reads(), 1)
})

t.test('who reads a session that a chat has made asks Redis for it where it runs already, and that was not heard', async (t) => {
  for (const [through, asked] of [[1, 0], [2, 1]] as const) {
    const { replicas, reads } = growing(t)
    const at = { epoch: 'epoch', version: 1, through, chat: chatOf('t1'), isNew: true }
    await replicas.prepare(PLACE, async () => at, (answer) => answer)
    t.ok((await replicas.open(PLACE, false))?.log.find('t1'))
    t.equal(reads(), asked)
  }
})

t.test('who reads what was accepted asks Redis for it where it has not been told yet', async (t) => {
  const { replicas, accept, reads } = growing(t)
  t.ok((await replicas.open(PLACE, false))?.log.find('t1'))
  await accept(2)
  t.ok((await replicas.open(PLACE, false))?.log.find('t2'), 'it is read')
  t.equal(reads(), 2)
  await accept(2)
  await replicas.open(PLACE, false)
  t.equal(reads(), 2, 'it was there')
  await new Promise((resolve) => { setImmediate(resolve) })
  await replicas.open(PLACE, false)
  t.equal(reads(), 3, 'since then more may have been missed')
  await replicas.prepare(PLACE, async () => 'refused', () => undefined)
  await replicas.open(PLACE, false)
  t.equal(reads(), 4)
})

/** Replicas of a Redis that has one chat more at each look. */
function growing (t: Test) {
  let reads = 0
  const read = (): unknown => {
    reads++
    return ['epoch', '0', `${reads}`, 0, [], [JSON.stringify(chatOf('t1')), JSON.stringify(chatOf('t2'))].slice(0, reads), [], '', []]
  }
  const subscriber = { async subscribe () {}, async unsubscribe () {}, isReady: () => true, close () {} }
  const { replicas } = openReplicas(t, { subscriber, read })
  const accept = async (version: number): Promise<void> => {
    const at = { epoch: 'epoch', version, through: version, chat: chatOf('t2'), isNew: false }
    await replicas.prepare(PLACE, async () => at, (answer) => answer)
  }
  return { replicas, accept, subscriber, reads: () => reads }
}
