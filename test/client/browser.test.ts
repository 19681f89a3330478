import { build } from 'esbuild'
import cors from '@fastify/cors'
import Fastify, { type FastifyInstance } from 'fastify'
import type { AddressInfo } from 'node:net'
import t from 'tap'

import { channelRest } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import { launch, visit } from '../playground/chromium.js'

// A browser takes its time on a busy machine.
t.setTimeout(240_000)

/** Both entry points, as a bundler makes a page's script of them. */
async function script (): Promise<string> {
  const { outputFiles: [file] } = await build({
    stdin: {
      contents: `
        import { createChannelClient } from './lib/client/index.js'
        import { sseTransport } from './lib/client/sse/index.js'
        window.ask = async (url, message) => {
          const client = createChannelClient({ url, token: 't', WebSocket: sseTransport() })
          const turn = client.chat({ sessionId: 's', message })
          const pieces = []
          for await (const piece of turn) pieces.push(piece)
          const { messages } = await client.history({ sessionId: 's' })
          const sent = await client.send('mine', {}).catch(({ code }) => code)
          client.close()
          return { pieces, messages: messages.length, sent }
        }`,
      resolveDir: `${import.meta.dirname}/../..`
    },
    bundle: true,
    minify: true,
    format: 'iife',
    write: false
  })
  return file?.text ?? ''
}

t.test('the second entry works in a page of the server\'s own, and in one of another origin', async (t) => {
  const contents = await script()
  const addPage = (app: FastifyInstance): void => {
    app.get('/', async (_request, reply) => reply.type('text/html').send('<!doctype html><link rel="icon" href="data:,"><script src="/client.js"></script>'))
    app.get('/client.js', async (_request, reply) => reply.type('text/javascript').send(contents))
  }
  const other = Fastify()
  t.teardown(async () => { await other.close() })
  addPage(other)
  await other.listen({ port: 0, host: '127.0.0.1' })
  const otherOrigin = `http://127.0.0.1:${(other.server.address() as AddressInfo).port}`
  const host = await serve(t, {
    agentExecutor: ({ message, owner }) => ['You said: ', message, ` (${owner})`],
    identify: ({ headers: { authorization = '' } }) => authorization,
    // Two ports of a loopback host are one to the channel, and two to a browser.
    origin: [otherOrigin],
    before (app) {
      app.register(cors, { origin: [otherOrigin] })
      addPage(app)
    },
    after (app) { app.register(channelRest) }
  })
  const browser = await launch(t)
  for (const [origin, count] of [[host.origin, 2], [otherOrigin, 4]] as const) {
    const { page, complaints } = await visit(t, browser, origin)
    const answer: unknown = await page.evaluate(`ask(${JSON.stringify(host.url)}, 'tea')`)
    t.match(answer, { messages: count, sent: 'WEBSOCKET_ONLY' }, origin)
    t.equal((answer as { pieces: string[] }).pieces.join(''), 'You said: tea (Bearer t)')
    t.strictSame(complaints, [])
  }
})
