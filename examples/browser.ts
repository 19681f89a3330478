// npx tsx examples/browser.ts
//
// A page at http://localhost:9527/ that chats with an agent, by the client that the package has for browsers. A page of
// your own imports `fastify-ws-channel/client`, and your bundler does what esbuild does here.
import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'

import { build } from 'esbuild'
import Fastify from 'fastify'

import wsChannel, { type Executor } from '../lib/index.js'

const agent: Executor = async function * ({ message, signal }) {
  yield { type: 'event', name: 'reasoning', data: `The question has ${message.length} characters.` }
  for (const word of `You said: ${message}`.split(/(?<= )/)) {
    yield word
    await pause(message.length, undefined, { signal })
  }
}

const { outputFiles: [client] } = await build({
  stdin: { contents: 'export * from "./lib/client/index.js"', resolveDir: `${import.meta.dirname}/..` },
  bundle: true,
  minify: true,
  format: 'esm',
  write: false
})

const app = Fastify({ logger: true })
app.register(async (api) => {
  api.register(wsChannel, { agentExecutor: agent })
}, { prefix: '/api/v1' })
app.get('/', async (_request, reply) => reply.type('text/html').send(await readFile(`${import.meta.dirname}/browser.html`)))
app.get('/client.js', async (_request, reply) => reply.type('text/javascript').send(client?.contents))
await app.listen({ port: Number(process.env.PORT ?? 9527) })
