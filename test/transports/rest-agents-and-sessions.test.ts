import t from 'tap'

import type { Executor } from '../../lib/index.js'
import type { JsonAnswer } from '../helpers/http-client.js'
import { serveRest } from './rest-host.js'
import { refusal, seen, SESSION } from './rest-scene.js'
import { Stage } from './stage.js'

t.test('the agents are listed with their descriptions; one function answers as `main`', async (t) => {
  const execute: Executor = () => 'hi'
  const many = await serveRest(t, { agentExecutor: { main: execute, clerk: { execute, description: 'Knows the orders' }, plain: { execute } } })
  const { status, body } = await many.ask('/agents')
  t.equal(status, 200)
  t.strictSame(body?.['agents'], [{ agentId: 'main' }, { agentId: 'clerk', description: 'Knows the orders' }, { agentId: 'plain' }])
  const one = await serveRest(t, { agentExecutor: execute })
  t.strictSame((await one.ask('/agents')).body?.['agents'], [{ agentId: 'main' }])
})

t.test('with the agents comes what a socket is told by `ready`', async (t) => {
  const { ask, connect } = await serveRest(t, { agentExecutor: () => 'hi', heartbeatMs: 7_000, maxPayload: 3_000 })
  const client = await connect({ protocols: ['agent-channel.v1'] })
  const { protocol, journal, maxPayload, maxFrameBytes, heartbeatMs } = await client.next('ready')
  t.strictSame((await ask('/agents')).body?.['channel'], { protocol, journal, maxPayload, maxFrameBytes, heartbeatMs })
  await client.close()
})

t.test('a session\'s history comes in pages, newest first, each oldest first', async (t) => {
  const { ask, chat } = await serveRest(t, { agentExecutor: ({ message }) => message.toUpperCase() })
  for (const message of ['a', 'b', 'c']) await chat({ sessionId: 's', message, metadata: { n: message } })
  const newest = await ask(`${SESSION}/messages?limit=4`)
  const contents = ({ body }: JsonAnswer) => (body?.['messages'] as Array<{ content: string }>).map(({ content }) => content)
  t.strictSame(contents(newest), ['b', 'B', 'c', 'C'])
  t.match(newest.body, { messages: [{ role: 'user', metadata: { n: 'b' }, complete: true }, { role: 'assistant' }, {}, {}], before: String })
  const older = await ask(`${SESSION}/messages?before=${String(newest.body?.['before'])}`)
  t.strictSame(contents(older), ['a', 'A'])
  t.notOk(Object.hasOwn(older.body ?? {}, 'before'))
  t.strictSame(seen(await ask(`${SESSION}/messages?before=unknown`)), { status: 200, body: { messages: [] } })
  t.strictSame(seen(await ask('/agents/main/sessions/none/messages')), { status: 200, body: { messages: [] } })
  for (const query of ['limit=0', 'limit=201', 'limit=x', 'before=', 'limit=1.5']) {
    t.match(await ask(`${SESSION}/messages?${query}`), refusal('VALIDATION_FAILED', { message: /querystring/ }), query)
  }
})

t.test('what a query names beside its own fields makes no other request of a page of history', async (t) => {
  const said: string[] = []
  const { ask, chat } = await serveRest(t, {
    agentExecutor ({ message }) {
      said.push(message)
      return 'hi'
    }
  })
  await chat({ sessionId: 's', message: 'x' })
  const page = seen(await ask(`${SESSION}/messages`))
  for (const query of ['type=chat&message=y', 'type=cancel', 'type=ping', 'agentId=other', 'sessionId=other', '__proto__=1']) {
    t.strictSame(seen(await ask(`${SESSION}/messages?${query}`)), page, query)
  }
  t.strictSame(said, ['x'])
})

t.test('an owner\'s sessions come in pages, newest first; nobody gets a list of everybody\'s', async (t) => {
  let owner = 'ada'
  const { ask, chat } = await serveRest(t, { agentExecutor: () => 'hi', identify: () => owner })
  for (const sessionId of ['one', 'two', 'three']) await chat({ sessionId, message: 'x' })
  const page = await ask('/agents/main/sessions?limit=2')
  t.match(page, { status: 200, body: { sessions: [{ sessionId: 'three', updatedAt: Number }, { sessionId: 'two' }], before: String } })
  t.match((await ask(`/agents/main/sessions?before=${String(page.body?.['before'])}`)).body, { sessions: [{ sessionId: 'one' }] })
  owner = 'bob'
  t.strictSame((await ask('/agents/main/sessions')).body, { sessions: [] })
  owner = 'anonymous'
  t.match(await ask('/agents/main/sessions'), refusal('FORBIDDEN', { message: /anonymous/ }))
})

t.test('another owner\'s session is answered exactly like one that does not exist', async (t) => {
  const stage = new Stage()
  const { ask, base, chat, follow } = await serveRest(t, { agentExecutor: stage.executor, identify: ({ headers }) => String(headers['x-owner']) })
  const [ada, bob] = [{ 'x-owner': 'ada' }, { 'x-owner': 'bob' }]
  const hers = chat({ id: 'a', sessionId: 's', message: 'x' }, ada)
  await stage.act('x').started.promise
  for (const sessionId of ['s', 'none']) {
    const session = `/agents/main/sessions/${sessionId}`
    t.strictSame((await ask(`${session}/messages`, { headers: bob })).body, { messages: [] })
    t.match(await ask(`${session}/cancel`, { method: 'POST', headers: bob }), refusal('TURN_NOT_FOUND'))
    t.strictSame(seen(await ask(session, { method: 'DELETE', headers: bob })), { status: 204, body: undefined })
    const reader = await follow(sessionId, bob)
    t.match(await reader.frame(), { type: 'subscribed', seq: 0, turns: [] })
    await reader.destroy()
  }
  stage.act('x').say('hers').end()
  t.match(await hers, { body: { content: 'hers' } })
  t.ok(base)
})

t.test('what is deleted is stopped and forgotten, and its chats are still known', async (t) => {
  const stage = new Stage()
  const { ask, chat } = await serveRest(t, { agentExecutor: stage.executor })
  stage.act('x').say('so')
  const running = chat({ id: 'a', sessionId: 's', message: 'x' })
  const { signal } = await stage.act('x').started.promise
  t.strictSame(seen(await ask(SESSION, { method: 'DELETE' })), { status: 204, body: undefined })
  t.ok(signal.aborted)
  t.match(await running, { status: 200, body: { content: 'so', finishReason: 'aborted' } })
  t.strictSame((await ask(`${SESSION}/messages`)).body, { messages: [] })
  t.match(await chat({ id: 'a', sessionId: 's', message: 'other' }), refusal('ID_CONFLICT'))
  t.equal((await ask(SESSION, { method: 'DELETE' })).status, 204, 'again too')
})
