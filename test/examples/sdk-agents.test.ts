import t, { type Test } from 'tap'

import { attend, connect, type ChannelClient, type Frame } from '../helpers/channel-client.js'
import { serveModel } from './model-server.js'
import { startExample } from './processes.js'

// Starting processes takes its time on a busy machine.
t.setTimeout(120_000)

for (const file of ['ai-sdk.ts', 'openai-tools.ts', 'langchain.ts']) {
  await t.test(`${file}: an agent with a tool that its user has to approve`, async (t) => {
    const { url } = await startExample(t, file, [], { OPENAI_BASE_URL: await serveModel(t), OPENAI_API_KEY: 'none' })

    await t.test('runs the tool when the user says yes, also after a reconnect', async (t) => {
      const first = attend(t, await connect(url))
      const { position, approvalId } = await asked(t, first, 's1', '3 teapots')
      await first.terminate()
      const second = attend(t, await connect(url))
      second.send({ type: 'subscribe', sessionId: 's1', ...position })
      t.match(await second.next('subscribed'), { recovered: true, turns: [{ id: 'q-s1', status: 'running' }] })
      const frames = await answer(second, approvalId, true)
      const events = frames.filter(({ type }) => type === 'event')
      t.strictSame(events.map(({ name }) => name), ['tool-output'])
      t.match(JSON.stringify(events[0]?.['data']), 'teapots')
      t.match(textOf(frames), /^So: .*"bought":"3 teapots","orderId":7/)
      t.match(frames.at(-1), { done: true, finishReason: 'stop', usage: { inputTokens: 6, outputTokens: 4, totalTokens: 10 } })
      await second.close()
    })

    await t.test('does not run it when the user says no', async (t) => {
      const client = attend(t, await connect(url))
      const { approvalId } = await asked(t, client, 's2', '3 teapots')
      const frames = await answer(client, approvalId, false)
      t.notMatch(textOf(frames), 'orderId')
      t.match(frames.at(-1), { done: true, finishReason: 'stop' })
      client.send({ type: 'approve', id: 'again', approvalId, ok: true })
      t.match(await client.next('error'), { id: 'again', code: 'VALIDATION_FAILED' }, 'it is asked once')
      await client.close()
    })

    await t.test('waits for nothing any more when its turn is cancelled', async (t) => {
      const client = attend(t, await connect(url))
      const { approvalId } = await asked(t, client, 's3', '3 teapots')
      client.send({ type: 'cancel', id: 'c', sessionId: 's3' })
      t.match(await client.next('cancelled'), { turns: ['q-s3'] })
      t.match(await client.next('stream'), { done: true, finishReason: 'aborted' })
      client.send({ type: 'approve', id: 'late', approvalId, ok: true })
      t.match(await client.next('error'), { id: 'late', code: 'VALIDATION_FAILED' })
      await client.close()
    })
  })
}

/** A client that has been asked whether to buy something. */
async function asked (t: Test, client: ChannelClient, sessionId: string, what: string) {
  client.send({ type: 'chat', id: `q-${sessionId}`, sessionId, message: what })
  const { epoch } = await client.next('ack')
  const frames: Frame[] = []
  while (frames.at(-1)?.['name'] !== 'tool-approval-request') frames.push(await client.next())
  t.equal(textOf(frames), 'One moment. ')
  t.match(frames.filter(({ type }) => type === 'event').map(({ name }) => name), [
    'turn-started', 'tool-input-start', 'tool-input-delta', 'tool-input', 'tool-approval-request'
  ])
  const request = frames.at(-1)
  const { approvalId } = request?.['data'] as { approvalId: string }
  t.match(request?.['data'], { toolName: 'buy', input: { what } })
  return { approvalId, position: { epoch, after: request?.['seq'] } }
}

/** The rest of the turn, without the answer to the frame. */
async function answer (client: ChannelClient, approvalId: string, ok: boolean): Promise<Frame[]> {
  client.send({ type: 'approve', id: 'a', approvalId, ok })
  const frames: Frame[] = []
  for (let frame = await client.next(); ; frame = await client.next()) {
    if (frame.type !== 'approve') frames.push(frame)
    if (frame['done'] === true) break
  }
  return frames
}

function textOf (frames: Frame[]): string {
  return frames.map(({ type, content }) => type === 'stream' ? String(content) : '').join('')
}
