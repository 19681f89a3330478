import t from 'tap'

import { memoryJournal } from '../../lib/index.js'
import type { Followed, FollowFrom } from '../../lib/journal/journal.js'
import type { SessionKey } from '../../lib/protocol/session-key.js'
import { serve } from '../helpers/app.js'
import type { ChannelClient, Frame } from '../helpers/channel-client.js'
import { deferred, type Deferred } from '../helpers/deferred.js'
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

/** Two clients with a turn each in one session whose reader, the first of them, has fallen out of the journal. */
async function fallenBehind (t: Parameters<typeof serve>[0], journal: SlowJournal | ReturnType<typeof memoryJournal>) {
  const gates = new Map<string, Deferred<void>>(['mine', 'other'].map((id) => [id, deferred()]))
  const host = await serve(t, {
    journal,
    async * agentExecutor (turn) {
      for (let i = 0; i < 20; i++) yield { type: 'event' as const, name: 'progress', data: i }
      yield `text of ${turn.id}`
      await gates.get(turn.id)?.promise
    }
  })
  return { ...host, gates }
}

t.test('a reader of its own turns is not told of others when it has fallen behind', async (t) => {
  // It used to be told what others ran, and never how that ended.
  const { connect, gates, app } = await fallenBehind(t, memoryJournal({ maxEntries: 8 }))
  const [one, other] = [await connect(), await connect()]
  other.send(chat('other'))
  await other.until('stream')
  one.send(chat('mine'))
  one.send(chat('mine too'))
  t.match([(await one.next('ack')).status, (await one.next('ack')).status], ['queued', 'queued'])
  gates.get('other')?.resolve()
  await other.next('stream')
  // All of what ran in one run of the event loop is more than the journal holds.
  const told = await one.until('subscribed')
  const { turns } = told.at(-1) as unknown as { turns: Array<{ id: string }> }
  t.strictSame(turns.map(({ id }) => id), ['mine', 'mine too'])
  await one.next('stream').catch(() => undefined)
  gates.get('mine')?.resolve()
  await eventually(() => app.channel.stats().turns === 0)
  await Promise.all([one.terminate(), other.close()])
  while (one.unread().length > 0) await one.next()
})
