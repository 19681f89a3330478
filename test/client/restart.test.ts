import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'

import { ChannelClientError, createChannelClient, type ChannelClient, type ChannelClientOptions, type ClientTurn } from '../../lib/client/index.js'
import { sseTransport } from '../../lib/client/sse/index.js'
import { channelRest, memorySessionStore, type Executor } from '../../lib/index.js'
import { lineTo } from '../examples/line.js'
import { serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'

/** Says a word, and waits at its gate before it says the other. */
function halting (gate: Promise<void>): Executor {
  return async function * ({ message }) {
    yield `${message}: one`
    if (message !== 'quick') await gate
    yield ', two'
  }
}

function openClient (t: Test, url: string, options: Partial<ChannelClientOptions> = {}): ChannelClient {
  const client = createChannelClient({ url, WebSocket, minBackOffMs: 10, maxBackOffMs: 50, ...options })
  t.teardown(() => { client.close() })
  return client
}

/** What is known of a turn: its text, or the code of the error in which it has ended. */
async function outcomeOf (turn: ClientTurn): Promise<string> {
  return await turn.finished.then(({ text }) => text, (err: unknown) => err instanceof ChannelClientError ? err.code : String(err))
}

/** An attempt that is under way may fail, and another comes after a pause. */
async function whileTimePasses<Value> (clock: ManualClock, promise: Promise<Value>): Promise<Value> {
  const state = { isPending: true }
  void promise.finally(() => { state.isPending = false })
  while (state.isPending) {
    clock.advance(1)
    await new Promise(setImmediate)
  }
  return await promise
}

async function firstPiece (turn: ClientTurn): Promise<string | undefined> {
  for await (const piece of turn) return piece
  return undefined
}

for (const isSse of [false, true]) {
  t.test(isSse ? 'over server-sent events' : 'over a WebSocket', async (t) => {
    const transport = (clock?: ManualClock) => isSse ? sseTransport({ clock }) : WebSocket
    // A pool of connections may have made one for nothing, which a server would wait for.
    const overHttp = { fastify: { forceCloseConnections: true }, after (app: FastifyInstance) { app.register(channelRest) } }

    t.test('a server that is restarted in the middle, with its memory gone', async (t) => {
      await t.test('ends every turn in text or in an error that says what is known', async (t) => {
        const gate = deferred()
        t.teardown(() => { gate.resolve() })
        const sessionStore = memorySessionStore()
        const first = await serve(t, { ...overHttp, agentExecutor: halting(gate.promise), sessionStore })
        const second = await serve(t, { ...overHttp, agentExecutor: ({ message }) => `${message}: anew`, sessionStore })
        const line = await lineTo(t, first.port)
        const client = openClient(t, line.url, { WebSocket: transport() })
        const subscription = client.subscribe({ sessionId: 'a' })
        const news: string[] = []
        const reading = (async () => { for await (const { type } of subscription) news.push(type) })()

        const done = client.chat({ sessionId: 'done', message: 'quick' })
        t.equal(await outcomeOf(done), 'quick: one, two')
        const running = client.chat({ sessionId: 'a', message: 'running' })
        const queued = client.chat({ sessionId: 'a', message: 'queued' })
        const whole = client.chat({ sessionId: 'b', message: 'whole', stream: false })
        t.equal(await firstPiece(running), 'running: one')
        await eventually(() => first.app.channel.stats().turns === 3)
        line.isDown = true
        line.cut()
        await eventually(() => client.state === 'reconnecting')
        const unsent = client.chat({ sessionId: 'a', message: 'unsent' })
        const elsewhere = client.chat({ sessionId: 'c', message: 'elsewhere' })
        line.port = second.port
        line.isDown = false

        t.strictSame(await Promise.all([running, queued, whole, unsent, elsewhere].map(outcomeOf)), [
          'OUTCOME_UNKNOWN', 'OUTCOME_UNKNOWN', 'OUTCOME_UNKNOWN', 'unsent: anew', 'elsewhere: anew'
        ])
        t.equal(await outcomeOf(client.chat({ sessionId: 'a', message: 'later' })), 'later: anew')
        subscription.close()
        await reading
        t.ok(news.includes('gap'), 'who follows is told that something is missing')
        const { messages } = await client.history({ sessionId: 'a' })
        t.match(messages.map(({ content }) => content), ['running', 'unsent', 'unsent: anew', 'later', 'later: anew'], 'the history can tell')
        t.equal(second.app.channel.stats().turns, 0, 'nothing was asked twice')
      })

      await t.test('that does not come back ends them within their time', async (t) => {
        const gate = deferred()
        t.teardown(() => { gate.resolve() })
        const clock = new ManualClock()
        const host = await serve(t, { ...overHttp, agentExecutor: halting(gate.promise) })
        const line = await lineTo(t, host.port)
        const client = openClient(t, line.url, {
          WebSocket: transport(clock), clock, turnPatienceMs: 60_000, answerTimeoutMs: 30_000, random: () => 0.5
        })
        const running = client.chat({ message: 'running' })
        t.equal(await firstPiece(running), 'running: one')
        line.isDown = true
        line.cut()
        await eventually(() => client.state === 'reconnecting')
        const unsent = client.chat({ sessionId: 'b', message: 'unsent' })
        const [asked, sent] = [client.history(), client.send('mine', {})]
        clock.advance(30_000)
        await t.rejects(asked, { code: 'CONNECTION_LOST' })
        await t.rejects(sent, { code: 'CONNECTION_LOST' })
        clock.advance(30_000)
        t.strictSame(await Promise.all([running, unsent].map(outcomeOf)), ['OUTCOME_UNKNOWN', 'CONNECTION_LOST'])
        t.equal(client.state, 'reconnecting', 'it goes on looking for its server')
      })
    })

    t.test('a computer that slept finds its answer when it wakes', async (t) => {
      const gate = deferred()
      const clock = new ManualClock()
      const host = await serve(t, { ...overHttp, agentExecutor: halting(gate.promise) })
      const line = await lineTo(t, host.port)
      const client = openClient(t, line.url, { WebSocket: transport(clock), clock, random: () => 0 })
      const turn = client.chat({ message: 'asleep' })
      t.equal(await firstPiece(turn), 'asleep: one')
      line.isDown = true
      line.cut()
      await eventually(() => client.state === 'reconnecting')
      clock.stall(180_000)
      gate.resolve()
      await eventually(() => host.app.channel.stats().turns === 0)
      line.isDown = false
      client.wake()
      t.equal(await whileTimePasses(clock, outcomeOf(turn)), 'asleep: one, two')
    })
  })
}

t.test('one that slept for longer than chats are remembered does not say them again', async (t) => {
  const clock = new ManualClock()
  const host = await serve(t, { agentExecutor: ({ message }) => message })
  const line = await lineTo(t, host.port)
  line.loseAfter = '"type":"ready"'
  const client = openClient(t, line.url, { clock, random: () => 0 })
  const turn = client.chat({ sessionId: 'a', message: 'once' })
  await eventually(() => client.state === 'open' && host.app.channel.stats().turns === 0)
  const asked = async (): Promise<number> => {
    const { messages } = await host.app.sessionStore.messages({ owner: 'anonymous', agentId: 'main', sessionId: 'a' }, { limit: 9 })
    return messages.filter(({ role }) => role === 'user').length
  }
  while (await asked() === 0) await new Promise(setImmediate)
  line.loseAfter = undefined
  line.isDown = true
  line.cut()
  await eventually(() => client.state === 'reconnecting')
  clock.stall(3_600_000)
  line.isDown = false
  client.wake()
  t.equal(await whileTimePasses(clock, outcomeOf(turn)), 'OUTCOME_UNKNOWN')
  t.equal(await asked(), 1)
})
