// Nothing crosses owners: another owner's session is answered exactly as one that does not exist.
import t, { type Test } from 'tap'

import { serve } from '../helpers/app.js'
import type { ChannelClient, Frame } from '../helpers/channel-client.js'
import { Stage } from './stage.js'

/** A session of Ada's, in which a turn has ended, one runs and one waits. */
async function open (t: Test) {
  const stage = new Stage()
  const { connect, app } = await serve(t, {
    agentExecutor: stage.executor, identify: (request) => String(request.headers['x-user']), maxQueuedTurns: 1, maxFramesPerSecond: 100_000
  })
  const ada = await connect({ headers: { 'x-user': 'ada' } })
  stage.act('first').say('secret').end()
  stage.act('second').say('secret')
  for (const [id, message] of [['one', 'first'], ['two', 'second'], ['three', 'third']]) {
    ada.send({ type: 'chat', id, sessionId: 'ours', message })
    if (id === 'one') await ada.until('stream')
  }
  for (let pieces = 0; pieces < 2;) if ((await ada.next()).type === 'stream') pieces++
  while (ada.unread().length > 0) await ada.next()
  const { epoch } = await epochOf(ada)
  const eve = await connect({ headers: { 'x-user': 'eve' } })
  return { app, stage, ada, eve, epoch }
}

async function epochOf (client: ChannelClient): Promise<{ epoch: string }> {
  client.send({ type: 'subscribe', sessionId: 'ours' })
  return await client.next('subscribed')
}

/** All that is answered up to a pong, with what is random or the session's name told apart. */
async function answers (client: ChannelClient, frame: object, sessionId: string): Promise<Frame[]> {
  client.send({ ...frame, sessionId })
  const frames: Frame[] = []
  for (let quiet = 0; quiet < 3;) {
    client.send({ type: 'ping' })
    const got = await client.until('pong')
    quiet = got.length === 1 ? quiet + 1 : 0
    frames.push(...got.slice(0, -1))
  }
  return JSON.parse(JSON.stringify(frames).replaceAll(JSON.stringify(sessionId), '"*"'), (key, value: unknown) => key === 'epoch' ? '*' : value) as Frame[]
}

t.test('every frame type is answered for another owner\'s session as for one that does not exist', async (t) => {
  const { app, stage, ada, eve, epoch } = await open(t)
  stage.act('x').returns('y')
  const frames = [
    { type: 'history' }, { type: 'history', id: 'i', limit: 1 },
    { type: 'cancel' }, { type: 'cancel', id: 'i', turnId: 'two' }, { type: 'cancel', id: 'i', turnId: 'three' },
    { type: 'unsubscribe', id: 'i' },
    { type: 'subscribe', id: 'i', epoch, after: 0 }, { type: 'subscribe', epoch, after: 3 }, { type: 'unsubscribe' },
    { type: 'subscribe' }, { type: 'unsubscribe' },
    { type: 'chat', id: 'one', message: 'x' }, { type: 'chat', id: 'two', message: 'x' }, { type: 'chat', id: 'three', message: 'third', onBusy: 'reject' },
    { type: 'chat', message: 'x', onBusy: 'reject' }, { type: 'chat', message: 'x', onBusy: 'interrupt' },
    { type: 'chat', id: '', message: 'x' }, { type: 'history', limit: 0 },
    { type: 'history', before: 'x' }
  ]
  stage.act('third').returns('z')
  for (const frame of frames) {
    const [theirs, none] = [await answers(eve, frame, 'ours'), await answers(eve, frame, 'does-not-exist')]
    // What eve herself has said in both is the same too, but for its times.
    const timeless = (told: Frame[]): unknown => JSON.parse(JSON.stringify(told), (key, value: unknown) => key === 'at' ? 0 : value)
    t.ok(theirs.length > 0)
    t.strictSame(timeless(theirs), timeless(none), JSON.stringify(frame))
    t.notMatch(JSON.stringify(theirs), /secret|second/)
  }
  await ada.fence()
  t.equal(app.channel.stats().runningTurns, 1, 'ada\'s turn runs still')
  await eve.close()
  ada.send({ type: 'cancel', sessionId: 'ours' })
  t.match((await ada.next('cancelled')).turns.length, 2)
  for (let ends = 0; ends < 2; ends++) t.match(await ada.next('stream'), { done: true, finishReason: 'aborted' })
  await ada.close()
})

t.test('nobody can guess what an executor sees as the session of another connection', async (t) => {
  // It may keep something under that name, and a client may name any session.
  const { connect } = await serve(t, { agentExecutor: ({ sessionId }) => sessionId })
  const names: string[] = []
  for (let count = 0; count < 10; count++) {
    const client = await connect()
    for (const message of ['first', 'second']) {
      client.send({ type: 'chat', message })
      names.push((await client.next('message')).content)
    }
    await client.close()
  }
  for (const name of names) t.match(name, /^connection-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.0$/)
  // What is counted on has its beginning in common.
  t.equal(new Set(names.map((name) => name.slice(0, 'connection-01234567'.length))).size, 10)
})
