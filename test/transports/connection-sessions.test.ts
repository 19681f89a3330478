import t from 'tap'

import type { Turn } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { answer, text } from '../helpers/plain-answer.js'

t.test('chats that name no session continue the conversation of their connection, and of no other', async (t) => {
  const { app, connect } = await serve(t, {
    async agentExecutor (turn) {
      const said = await turn.history()
      return [...said.map(({ role, content }) => `${role}: ${content}`), turn.message].join(' | ')
    }
  })
  const [one, two] = [await connect(), await connect()]
  one.send({ type: 'chat', message: 'a' })
  t.equal((await one.next('message')).content, 'a')
  one.send({ type: 'chat', message: 'b' })
  t.equal((await one.next('message')).content, 'user: a | assistant: a | b')
  two.send({ type: 'chat', message: 'c' })
  t.equal((await two.next('message')).content, 'c')
  await one.close()
  await two.close()
  t.same(await app.sessionStore.list({ owner: 'anonymous', agentId: 'main' }, { limit: 10 }), { sessions: [] },
    'nothing of it is in the host\'s store')
})

t.test('the query sets the agent and session of chats that name none', async (t) => {
  const { connect } = await serve(t, { agentExecutor: ({ agentId, sessionId }) => `${agentId}/${sessionId}` })
  const client = await connect({ query: '?agentId=sales&sessionId=s-9' })
  client.send({ type: 'chat', message: 'x' })
  t.same(await client.next(), { type: 'message', agentId: 'sales', content: 'sales/s-9', done: true })
  client.send({ type: 'chat', agentId: 'main', sessionId: 's-1', message: 'x' })
  t.equal((await client.next('message')).content, 'main/s-1')
  client.send({ type: 'chat', message: '' })
  t.equal((await client.next('error')).agentId, 'sales')
  await client.close()
})

t.test('the executor gets the message, metadata and context, and nothing that the client made up', async (t) => {
  const turns: Turn[] = []
  const { connect } = await serve(t, {
    identify: () => ({ owner: 'ada', context: { plan: 'pro', none: undefined } }),
    agentExecutor (turn) { turns.push(turn); return 'ok' }
  })
  const client = await connect()
  client.send({ type: 'chat', sessionId: 's', message: 'hi', metadata: { a: [1] }, admin: true })
  await client.next('message')
  const [turn] = turns
  t.match(turn, { agentId: 'main', sessionId: 's', owner: 'ada', message: 'hi' })
  t.same(turn?.metadata, { a: [1] })
  t.same(turn?.context, { plan: 'pro' })
  t.notOk(turn?.signal.aborted)
  t.notOk('admin' in (turn ?? {}))
  await client.close()
})

t.test('a turn of a named session goes on without its socket, and its answer is in the history', async (t) => {
  const [gate, done] = [deferred(), deferred()]
  const { app, connect } = await serve(t, {
    async * agentExecutor () {
      yield 'begun, '
      await gate.promise
      yield 'and ended'
      done.resolve()
    }
  })
  const client = await connect()
  client.send({ type: 'chat', sessionId: 's', message: 'x' })
  await client.next('stream')
  await client.terminate()
  gate.resolve()
  await done.promise
  const key = { owner: 'anonymous', agentId: 'main', sessionId: 's' }
  await eventually(() => app.channel.stats().turns === 0)
  const { messages } = await app.sessionStore.messages(key, { limit: 10 })
  t.match(messages, [{ role: 'user', content: 'x', complete: true }, { role: 'assistant', content: 'begun, and ended', complete: true }])
})

t.test('a connection has sessions of its own with so many agents, and the oldest silent one ends for one more', async (t) => {
  // A client could make up agents, and with each of them a session that stayed.
  const gate = deferred()
  const { app, connect } = await serve(t, {
    maxOwnSessions: 2,
    async * agentExecutor (turn) {
      if (turn.message === 'wait') await gate.promise
      yield String((await turn.history()).length)
    }
  })
  const client = await connect()
  const ask = async (agentId: string, message = 'x'): Promise<string> => {
    client.send({ type: 'chat', agentId, message })
    return text(await answer(client))
  }
  client.send({ type: 'chat', agentId: 'busy', message: 'wait' })
  t.same([await ask('a'), await ask('a')], ['0', '2'])
  t.equal(await ask('b'), '0')
  t.equal(await ask('a'), '0', 'it was forgotten for b')
  gate.resolve()
  t.equal(text(await answer(client)), '0')
  t.equal(await ask('busy'), '2', 'it was not')
  await eventually(() => app.channel.stats().sessions === 2)
  for (const agentId of ['c', 'd', 'e']) t.equal(await ask(agentId), '0')
  await eventually(() => app.channel.stats().sessions === 2)
  await client.close()
})
