import t from 'tap'

import { attend, connect, type Frame } from '../helpers/channel-client.js'
import { startExample } from './processes.js'

// Starting processes takes its time on a busy machine.
t.setTimeout(120_000)

const ANSWER = 'I have read all that there is: it is warm, and it is quiet while one drinks it.'

t.test('langgraph.ts works on while nobody is there', async (t) => {
  const { url } = await startExample(t, 'langgraph.ts', [], { STEP_MS: '300' })
  const first = attend(t, await connect(url))
  first.send({ type: 'chat', id: 'q', sessionId: 'tea', message: 'why?' })
  const { epoch } = await first.next('ack')
  t.match(await first.next('event'), { name: 'turn-started' })
  const step = await first.next('event')
  t.match(step, { name: 'progress', data: { read: 1, of: 3 } })
  await first.terminate()

  await t.test('and is heard to its end by who comes back', async (t) => {
    const second = attend(t, await connect(url))
    second.send({ type: 'subscribe', sessionId: 'tea', epoch, after: step['seq'] })
    t.match(await second.next('subscribed'), { recovered: true, turns: [{ id: 'q', status: 'running' }] })
    const frames: Frame[] = []
    while (frames.at(-1)?.done !== true) frames.push(await second.next())
    t.match(frames.filter(({ type }) => type === 'event'), [{ data: { read: 2 } }, { data: { read: 3 } }])
    t.equal(frames.filter(({ type }) => type === 'stream').map(({ content }) => content).join(''), ANSWER)
    t.match(frames.at(-1), { id: 'q', done: true })
    await second.close()
  })

  await t.test('and is read when it is over', async (t) => {
    const third = attend(t, await connect(url))
    third.send({ type: 'history', id: 'h', sessionId: 'tea' })
    t.match(await third.next('history'), { messages: [{ content: 'why?' }, { content: ANSWER, complete: true }] })
    await third.close()
  })
})
