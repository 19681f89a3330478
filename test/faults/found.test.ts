import t from 'tap'

import { memoryJournal, type Journal } from '../../lib/index.js'
import { readableLog, serve } from '../helpers/app.js'
import type { ChannelClient, Frame } from '../helpers/channel-client.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { SlowJournal } from '../helpers/slow-journal.js'

const chat = (id: string, sessionId = 's'): object => ({ type: 'chat', id, sessionId, message: id })

/** Up to the end of a turn. */
async function untilEnd (client: ChannelClient): Promise<Frame[]> {
  const frames = [await client.next()]
  while (frames.at(-1)?.done !== true) frames.push(await client.next())
  return frames
}

t.test('what a feed has told is not told again to who subscribes from before it, as long as the connection lives', async (t) => {
  // The feed of own turns goes with its last turn, of which the client is not told: it used to get the turn once more.
  const { connect } = await serve(t, { agentExecutor: () => ['one', 'two'] })
  const client = await connect()
  client.send(chat('a'))
  const { epoch, seq } = await client.next('ack')
  const end = (await untilEnd(client)).at(-1)
  client.send({ type: 'subscribe', sessionId: 's', epoch, after: seq })
  t.match(await client.next('subscribed'), { recovered: false, seq: end?.seq, turns: [] })
  await client.fence()
  await client.close()
})

t.test('who subscribes from where its own turns have ended misses nothing', async (t) => {
  const { connect, app } = await serve(t, { agentExecutor: () => ['one'] })
  const client = await connect()
  client.send(chat('a'))
  const { epoch } = await client.next('ack')
  const end = (await untilEnd(client)).at(-1)
  await app.channel.publish({ owner: 'anonymous', sessionId: 's' }, 'news')
  client.send({ type: 'subscribe', sessionId: 's', epoch, after: end?.seq })
  t.match(await client.next('subscribed'), { recovered: true, seq: end?.seq })
  t.match(await client.next('event'), { name: 'news' })
  await client.close()
})

/** A turn that says at once, when it may, more than its session holds. */
async function bursting (t: Parameters<typeof serve>[0], journal: Journal) {
  const [start, end] = [deferred(), deferred()]
  const host = await serve(t, {
    journal,
    // Who waited for more would find the first of it forgotten already.
    coalesceMs: 0,
    async * agentExecutor (turn) {
      if (turn.id !== 'mine') return
      await start.promise
      for (let i = 0; i < 6; i++) yield { type: 'event' as const, name: 'progress', data: i }
      yield 'text'
      await end.promise
    }
  })
  return { ...host, start, end }
}

t.test('a reader of its own turns is not told of others when it has fallen behind', async (t) => {
  // It used to be told what others run, and never how that ended.
  const { connect, start, end } = await bursting(t, memoryJournal({ maxEntries: 4 }))
  const [one, other] = [await connect(), await connect()]
  one.send(chat('mine'))
  await one.until('event')
  other.send(chat('other'))
  t.match(await other.next('ack'), { status: 'queued' })
  start.resolve()
  const { turns } = await one.next('subscribed')
  t.strictSame(turns, [{ id: 'mine', status: 'running', message: 'mine', content: 'text' }])
  end.resolve()
  t.match(await one.next('stream'), { id: 'mine', done: true })
  await untilEnd(other)
  await Promise.all([one.close(), other.close()])
})

t.test('what a client asks while its feed goes on from a new place is answered after it was told of that', async (t) => {
  // With a journal over a network the ack said where the feed was before the client knew that it had jumped there.
  const journal = new SlowJournal({ maxEntries: 4 })
  const { connect, start, end } = await bursting(t, journal)
  const client = await connect()
  client.send(chat('mine'))
  await client.until('event')
  const gate = deferred()
  journal.after = (method) => method === 'follow' ? gate.promise : undefined
  start.resolve()
  // The first append is on its way while the others gather.
  t.match(await client.next('event'), { seq: 2 })
  await eventually(() => journal.calls.follow === 2)
  client.send(chat('more'))
  await client.fence()
  gate.resolve()
  const { seq } = await client.next('subscribed')
  t.match(await client.next('ack'), { id: 'more', status: 'queued', seq })
  end.resolve()
  t.match((await untilEnd(client)).at(-1), { id: 'mine', done: true })
  await untilEnd(client)
  await client.close()
})

t.test('a chat that has ended is acknowledged again where its session has no room to be read', async (t) => {
  // It used to be STORE_UNAVAILABLE, with an error in the log, though nothing had failed.
  const { lines, logger } = readableLog()
  const { connect } = await serve(t, { journal: memoryJournal({ maxSessions: 1 }), fastify: { logger }, agentExecutor: () => ['one', 'two'] })
  const client = await connect()
  client.send(chat('a'))
  const { epoch } = await client.next('ack')
  const seq = (await untilEnd(client)).at(-1)?.seq
  client.send({ type: 'subscribe', sessionId: 'live' })
  await client.next('subscribed')
  client.send(chat('a'))
  const { status, content, ...position } = await client.next('ack')
  t.match({ status, content, ...position }, { status: 'duplicate', content: 'onetwo', epoch, seq })
  t.match(await client.next('stream'), { id: 'a', content: '', done: true, seq, finishReason: 'stop' })
  t.strictSame(lines.filter(({ level }) => Number(level) >= 50), [])
  await client.close()
})

t.test('a chat that comes while the journal is asked for a cancel, and is cancelled, does not stay in the engine', async (t) => {
  // The engine looked for it in the session as it was before, which was none: it counted as a live turn for ever.
  const journal = new SlowJournal()
  const [cancelling, taking] = [deferred(), deferred()]
  journal.before = (method) => method === 'cancel' ? cancelling.promise : method === 'take' ? taking.promise : undefined
  const { connect, app } = await serve(t, { journal, agentExecutor: () => ['never'] })
  const cancelled = app.channel.cancel({ owner: 'anonymous', sessionId: 's' })
  const client = await connect()
  client.send(chat('a'))
  await client.next('ack')
  cancelling.resolve()
  t.strictSame(await cancelled, ['a'])
  t.match(await client.next('stream'), { id: 'a', done: true, finishReason: 'aborted' })
  taking.resolve()
  await eventually(() => app.channel.stats().turns === 0)
  await client.close()
})

t.test('a chat that ran when it was sent again, and is over and forgotten when that is answered, is told from the history', async (t) => {
  // It was asked once whether it had ended: a reader who took its time in between got STORE_UNAVAILABLE.
  const journal = new SlowJournal({ maxEntries: 4 })
  const { connect, app, start, end } = await bursting(t, journal)
  const [one, again] = [await connect(), await connect()]
  one.send(chat('mine'))
  await one.until('event')
  const gate = deferred()
  journal.before = (method) => method === 'follow' ? gate.promise : undefined
  again.send(chat('mine'))
  await eventually(() => journal.calls.follow === 2)
  journal.before = () => undefined
  start.resolve()
  end.resolve()
  t.match((await untilEnd(one)).at(-1), { id: 'mine', done: true })
  for (let i = 0; i < 6; i++) await app.channel.publish({ owner: 'anonymous', sessionId: 's' }, 'news')
  gate.resolve()
  t.match(await again.next('subscribed'), { recovered: false, turns: [] })
  t.match(await again.next('ack'), { id: 'mine', status: 'duplicate', content: 'text' })
  t.match(await again.next('stream'), { id: 'mine', content: '', done: true, finishReason: 'stop' })
  await Promise.all([one.close(), again.close()])
})
