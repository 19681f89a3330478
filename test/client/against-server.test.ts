import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'

import { createChannelClient, type ChannelClient, type ChannelClientOptions, type HostFrames } from '../../lib/client/index.js'
import { sseTransport } from '../../lib/client/sse/index.js'
import { lineTo } from '../examples/line.js'
import { serve, type ServeOptions } from '../helpers/app.js'
import { channelRest } from '../../lib/index.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'

for (const isSse of [false, true]) {
  t.test(isSse ? 'over server-sent events' : 'over a WebSocket', async (t) => {
    const transport = isSse ? sseTransport() : WebSocket
    /** A channel that is there over HTTP too. */
    const host = async (t: Test, options: ServeOptions = {}) => await serve(t, {
      // A pool of connections may have made one for nothing, which a server would wait for.
      fastify: { forceCloseConnections: true }, ...options, after (app) { app.register(channelRest); options.after?.(app) }
    })

    function openClient<Frames extends HostFrames> (
      t: Test, url: string, options: Partial<ChannelClientOptions> = {}
    ): ChannelClient<Frames> {
      const client = createChannelClient<Frames>({ url, WebSocket: transport, minBackOffMs: 5, maxBackOffMs: 20, ...options })
      t.teardown(() => { client.close() })
      return client
    }

    t.test('talks with a server', async (t) => {
      const { url } = await host(t, {
        agentExecutor: async function * ({ message }) {
          yield { type: 'event', name: 'reasoning', data: 'hm' }
          yield `You said: ${message}`
          yield { type: 'finish', finishReason: 'length', usage: { inputTokens: 1, outputTokens: 2 } }
        },
        after: (app) => {
          app.channel.define('rate', {
            schema: Type.Object({ stars: Type.Integer({ maximum: 5 }) }), handler: ({ stars }) => ({ thanks: stars })
          })
        }
      })
      // As a page gives it.
      const client = openClient<{ rate: { frame: { stars: number }, reply: { thanks: number } } }>(t, url.replace('ws', 'http'))
      const turn = client.chat({ message: 'Hello' })
      let text = ''
      for await (const piece of turn) text += piece
      t.equal(text, 'You said: Hello')
      t.strictSame(await turn.finished, { text, finishReason: 'length', usage: { inputTokens: 1, outputTokens: 2 } })
      if (isSse) {
        await t.rejects(client.send('rate', { stars: 5 }), { code: 'WEBSOCKET_ONLY', retryable: false, message: /rate goes over a WebSocket only/ })
      } else {
        t.strictSame(await client.send('rate', { stars: 5 }), { thanks: 5 })
        await t.rejects(client.send('rate', { stars: 6 }), { code: 'VALIDATION_FAILED', details: { path: '/stars' } })
      }
      t.match(await client.history(), { messages: [{ content: 'Hello' }, { content: text, complete: true }] })
      await t.rejects(client.chat({ message: '' }).finished, { code: 'VALIDATION_FAILED' })
    })

    t.test('two devices see the same', async (t) => {
      const gate = deferred()
      const { url } = await host(t, { agentExecutor: async function * () { yield 'one'; await gate.promise; yield ', two' } })
      const [laptop, phone] = [openClient(t, url), openClient(t, url)]
      const asked = laptop.chat({ sessionId: 'tea', message: 'Count' })
      for await (const piece of asked) { t.equal(piece, 'one'); break }
      const subscription = phone.subscribe({ sessionId: 'tea' })
      for await (const news of subscription) {
        if (news.type !== 'turn') continue
        t.equal(news.turn.message, 'Count')
        gate.resolve()
        t.strictSame(await news.turn.finished, { text: 'one, two', finishReason: 'stop' })
        break
      }
      t.equal((await asked.finished).text, 'one, two')
    })

    t.test('credentials', async (t) => {
      const valid = new Set(['t1'])
      const { url } = await host(t, {
        agentExecutor: ({ owner }) => owner,
        identify: ({ headers }) => ({ owner: String(headers.authorization), ...(valid.has('soon') ? { expiresAt: Date.now() + 40 } : {}) }),
        before: (app) => {
          app.addHook('onRequest', async ({ headers: { authorization = '' } }, reply) => {
            if (!valid.has(authorization.replace('Bearer ', ''))) await reply.code(401).send({ error: 'no' })
          })
        },
        heartbeatMs: 20
      })

      await t.test('that are no good are the end', async (t) => {
        const turn = openClient(t, url, { token: 'old' }).chat({ message: 'x' })
        await t.rejects(turn.finished, { code: 'UNAUTHORIZED', status: 401 })
      })

      await t.test('that were refused are renewed', async (t) => {
        const client = openClient(t, url, { token: ({ isRejected }) => isRejected ? 't1' : 'old' })
        t.equal((await client.chat({ message: 'x' }).finished).text, 'Bearer t1')
      })

      await t.test('that are refused in the middle are renewed, and nothing is lost', async (t) => {
        const client = openClient(t, url, { token: ({ isRejected }) => isRejected ? 't2' : 't1' })
        t.equal((await client.chat({ message: 'x' }).finished).text, 'Bearer t1')
        valid.add('t2')
        valid.delete('t1')
        const { text } = await client.chat({ message: 'x' }).finished
        t.equal(text, isSse ? 'Bearer t2' : 'Bearer t1', 'a socket was let in when it was opened')
        valid.add('t1')
      })

      // Who follows nothing learns of it when it asks for more.
      if (isSse) return
      await t.test('that expire are renewed, and nothing is lost', async (t) => {
        valid.add('soon')
        const rejected: boolean[] = []
        const client = openClient(t, url, { token: ({ isRejected }) => { rejected.push(isRejected); if (isRejected) valid.delete('soon'); return 't1' } })
        t.equal((await client.chat({ message: 'x' }).finished).text, 'Bearer t1')
        await eventually(() => rejected.length === 2)
        t.strictSame(rejected, [false, true])
        t.equal((await client.chat({ message: 'x' }).finished).text, 'Bearer t1')
      })
    })

    t.test('a server that goes down', async (t) => {
      const gate = deferred()
      const first = await host(t, { agentExecutor: async function * () { yield 'one'; await gate.promise; yield ', two' }, drainTimeoutMs: 30_000 })
      const second = await host(t, { agentExecutor: () => 'by the next' })
      const line = await lineTo(t, first.port)
      const client = openClient(t, line.url)
      const running = client.chat({ sessionId: 'a', message: 'x' })
      for await (const piece of running) { t.equal(piece, 'one'); break }
      const drained = first.app.channel.drain()
      const refused = client.chat({ sessionId: 'b', message: 'x' })
      await client.history()
      line.port = second.port
      gate.resolve()
      t.equal((await running.finished).text, 'one, two', 'ends what it has begun')
      t.equal((await refused.finished).text, 'by the next', 'and what it refuses is said to the next')
      await drained
    })

    t.test('a server that refuses an upgrade for good', async (t) => {
      const { origin } = await host(t)
      const client = openClient(t, `${origin}/nowhere`)
      await t.rejects(client.chat({ message: 'x' }).finished, { code: 'CONNECTION_REFUSED', status: 404 })
      t.equal(client.state, 'closed')
    })
  })
}
