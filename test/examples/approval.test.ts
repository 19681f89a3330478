import t, { type Test } from 'tap'

import { attend, connect, type ChannelClient, type Frame } from '../helpers/channel-client.js'
import { start, startExample } from './processes.js'

// Starting processes takes its time on a busy machine.
t.setTimeout(120_000)

await t.test('approval.ts', async (t) => {
  const { url } = await startExample(t, 'approval.ts')
  const connectAs = async (t: Test, owner: string) =>
    attend(t, await connect(url, { headers: { authorization: `Bearer for-${owner}` } }))

  await t.test('is given its answer after a reconnect that followed the question', async (t) => {
    const first = await connectAs(t, 'ada')
    first.send({ type: 'chat', id: 'q1', sessionId: 's1', message: 'tea' })
    const { epoch } = await first.next('ack')
    const told = [await first.next(), await first.next(), await first.next()]
    const asked = told[2]
    const approvalId = approvalIdOf(asked)
    const event = { type: 'event', agentId: 'main', id: 'q1', sessionId: 's1' }
    t.strictSame(told, [
      { ...event, seq: 1, name: 'turn-started', data: { message: 'tea' } },
      { type: 'stream', agentId: 'main', content: 'You want: tea. ', done: false, id: 'q1', sessionId: 's1', seq: 2 },
      { ...event, seq: 3, name: 'approval-request', data: { approvalId, what: 'tea' } }
    ])
    await first.terminate()

    const second = await connectAs(t, 'ada')
    second.send({ type: 'subscribe', sessionId: 's1', epoch, after: 2 })
    t.strictSame(await second.next(), {
      type: 'subscribed', agentId: 'main', sessionId: 's1', epoch, seq: 2, recovered: true,
      turns: [{ id: 'q1', status: 'running', message: 'tea' }]
    })
    t.strictSame(await second.next(), asked, 'the question is told again')
    await second.fence()
    t.strictSame(await answer(second, approvalId, true), [
      { type: 'stream', agentId: 'main', content: 'It is done.', done: false, id: 'q1', sessionId: 's1', seq: 4 },
      { type: 'stream', agentId: 'main', content: '', done: true, id: 'q1', sessionId: 's1', seq: 5, finishReason: 'stop' }
    ])
    await second.fence()
    await second.close()
  })

  await t.test('tells a client that comes without a position what it waits for', async (t) => {
    const { client: first, approvalId } = await asked(t, await connectAs(t, 'ada'), 's2')
    await first.terminate()
    const second = await connectAs(t, 'ada')
    second.send({ type: 'subscribe', sessionId: 's2' })
    t.match(await second.next('subscribed'), { recovered: false, turns: [{ id: 'q', status: 'running', content: 'You want: tea. ' }] })
    second.send({ type: 'approvals', id: 'open', sessionId: 's2' })
    t.strictSame(await second.next(), { type: 'approvals', id: 'open', data: [{ approvalId, what: 'tea' }] })
    t.match(await answer(second, approvalId, true), [{ content: 'It is done.', done: false }, { done: true }])
    t.strictSame(await open(second, 's2'), [])
    await second.close()
  })

  await t.test('leaves what is not approved', async (t) => {
    const { client, approvalId } = await asked(t, await connectAs(t, 'ada'), 's3')
    t.match(await answer(client, approvalId, false), [{ content: 'So I leave it.', done: false }, { done: true, finishReason: 'stop' }])
    client.send({ type: 'approve', id: 'again', approvalId, ok: true })
    t.strictSame(await client.next(), unknown('again'), 'it is asked once')
    await client.close()
  })

  await t.test('takes no answer from another owner, who does not learn that there is a question', async (t) => {
    const { client, approvalId } = await asked(t, await connectAs(t, 'ada'), 's4')
    const bob = await connectAs(t, 'bob')
    for (const [id, of] of [['a', approvalId], ['b', 'no-such-question']]) {
      bob.send({ type: 'approve', id, approvalId: of, ok: true })
      t.strictSame(await bob.next(), unknown(id))
    }
    t.strictSame(await open(bob, 's4'), [])
    bob.send({ type: 'subscribe', sessionId: 's4' })
    t.match(await bob.next('subscribed'), { seq: 0, recovered: false, turns: [] })
    await client.fence()
    t.match(await answer(client, approvalId, true), [{ content: 'It is done.' }, { done: true }])
    await bob.fence()
    await bob.close()
    await client.close()
  })

  await t.test('waits for nothing any more when its turn is cancelled', async (t) => {
    const { client, approvalId } = await asked(t, await connectAs(t, 'ada'), 's5')
    t.match(await open(client, 's5'), [{ approvalId }])
    client.send({ type: 'cancel', id: 'c', sessionId: 's5' })
    t.strictSame(await client.next(), { type: 'cancelled', id: 'c', agentId: 'main', sessionId: 's5', turns: ['q'] })
    t.match(await client.next('stream'), { content: '', done: true, seq: 4, finishReason: 'aborted' })
    t.strictSame(await open(client, 's5'), [])
    client.send({ type: 'approve', id: 'late', approvalId, ok: true })
    t.strictSame(await client.next(), unknown('late'))
    await client.close()
  })

  await t.test('can be talked to by resume.mjs', async (t) => {
    const args = ['examples/resume.mjs', 's6', 'tea']
    const client = start(t, process.execPath, args, { env: { CHANNEL_URL: url, CHANNEL_TOKEN: 'for-ada' } })
    const [, approvalId = ''] = await client.printed(/\[approval-request\] \{"approvalId":"([^"]+)"/)
    const other = await connectAs(t, 'ada')
    other.send({ type: 'approve', approvalId, ok: true })
    t.strictSame(await other.next(), { type: 'approve', data: { ok: true } })
    await other.close()
    t.match(await client.ended, { code: 0, stdout: 'You want: tea. It is done.\n' })
  })

  await t.test('asks for a token', async (t) => {
    await t.rejects(connect(url), { name: 'UpgradeRefused', statusCode: 401 })
  })
})

/** A client that has been asked whether to buy tea. */
async function asked (t: Test, client: ChannelClient, sessionId: string) {
  client.send({ type: 'chat', id: 'q', sessionId, message: 'tea' })
  const told = [await client.next('ack'), await client.next('event'), await client.next('stream'), await client.next('event')]
  t.match(told[0], { status: 'started', seq: 0 })
  return { client, approvalId: approvalIdOf(told[3]) }
}

/** The rest of the turn. What is sent back by the handler comes before, in its midst or after. */
async function answer (client: ChannelClient, approvalId: string, ok: boolean): Promise<Frame[]> {
  client.send({ type: 'approve', id: 'a', approvalId, ok })
  const frames = [await client.next(), await client.next(), await client.next()]
  const [taken, ...others] = frames.filter(({ type }) => type === 'approve')
  if (others.length > 0 || JSON.stringify(taken) !== JSON.stringify({ type: 'approve', id: 'a', data: { ok } })) {
    throw new Error(`not one answer to the frame: ${JSON.stringify(frames)}`)
  }
  return frames.filter((frame) => frame !== taken)
}

async function open (client: ChannelClient, sessionId: string): Promise<unknown> {
  client.send({ type: 'approvals', sessionId })
  return (await client.next('approvals'))['data']
}

function approvalIdOf (frame: Frame | undefined): string {
  const { approvalId } = frame?.['data'] as { approvalId: string }
  return approvalId
}

function unknown (id: string | undefined) {
  return {
    type: 'error', code: 'VALIDATION_FAILED', message: 'A field is wrong', retryable: false,
    details: { path: '/approvalId', rule: 'nothing waits for it' }, id
  }
}
