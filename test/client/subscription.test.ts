import t from 'tap'

import { OpenTurn } from '../../lib/client/open-turn.js'
import { OpenSubscription, type SessionNews } from '../../lib/client/subscription.js'

const GAP: SessionNews = { type: 'gap' }

function open () {
  const turns: OpenTurn[] = []
  let closes = 0
  const subscription = new OpenSubscription({ agentId: 'main', sessionId: 'trip' }, {
    turns: () => turns, isGapless: false, onClose: () => { closes++ }
  })
  return { subscription, turns, closes: () => closes }
}

function turn (id: string): OpenTurn {
  return new OpenTurn({ id, agentId: 'main', sessionId: 'trip', message: id }, { onCancel: async () => {}, onDone: () => {} })
}

async function all (subscription: AsyncIterable<SessionNews>): Promise<SessionNews[]> {
  const news: SessionNews[] = []
  for await (const one of subscription) news.push(one)
  return news
}

t.test('gives each reader what is open when it begins, and what happens then', async (t) => {
  const { subscription, turns, closes } = open()
  const [one, two] = [turn('1'), turn('2')]
  const early = all(subscription)
  subscription.take({ type: 'turn', turn: one })
  turns.push(one)
  const late = all(subscription)
  subscription.take({ type: 'turn', turn: two })
  await new Promise(setImmediate)
  subscription.take(GAP)
  subscription.close()
  subscription.close()
  t.equal(closes(), 1)
  t.same((await early).map((news) => news.type === 'turn' ? news.turn.id : news.type), ['1', '2', 'gap'])
  t.same((await late).map((news) => news.type === 'turn' ? news.turn.id : news.type), ['1', '2', 'gap'])
})

t.test('is ready when the server says so', async (t) => {
  const { subscription } = open()
  let isReady = false
  const ready = subscription.ready.then(() => { isReady = true })
  await new Promise(setImmediate)
  t.notOk(isReady)
  subscription.onFollowed()
  await ready
})

t.test('fails once, for all who wait', async (t) => {
  const { subscription, closes } = open()
  const read = all(subscription)
  subscription.fail(new Error('refused'))
  subscription.close()
  await t.rejects(read, { message: 'refused' })
  await t.rejects(subscription.ready, { message: 'refused' })
  await t.rejects(all(subscription), { message: 'refused' })
  t.equal(closes(), 1)
})

t.test('closed before it was ready, nobody waits for ever', async (t) => {
  const { subscription } = open()
  await subscription[Symbol.asyncDispose]()
  await subscription.ready
  t.strictSame(await all(subscription), [])
})

t.test('who does not read is not remembered for ever', async (t) => {
  const { subscription } = open()
  const reader = subscription[Symbol.asyncIterator]()
  for (let count = 0; count < 10_001; count++) subscription.take({ type: 'event', event: { type: 'event', agentId: 'main', sessionId: 'trip', seq: count, name: 'n', data: count } })
  t.strictSame((await reader.next()).value, GAP)
  t.match((await reader.next()).value, { type: 'event', event: { data: 10_000 } })
})

t.test('who stops reading is told nothing more', async (t) => {
  const { subscription } = open()
  subscription.take(GAP)
  const reader = subscription[Symbol.asyncIterator]()
  subscription.take(GAP)
  await reader.next()
  await reader.return?.()
  subscription.take(GAP)
  t.match(await reader.next(), { done: true })
})
