import t from 'tap'

import type { Executor } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { lineTo } from './line.js'
import { run, start, startExample } from './processes.js'

// Starting processes takes its time on a busy machine.
t.setTimeout(120_000)

const ARGS = ['--import', 'tsx', 'examples/terminal.ts', 'tea']

t.test('terminal.ts answers what it is asked, and ends with its input', async (t) => {
  const { url } = await serve(t, {
    agentExecutor: async function * ({ message }) {
      yield { type: 'event', name: 'reasoning', data: 'hm' }
      yield { type: 'message', content: 'Wait. ' }
      yield `You said: ${message}`
    }
  })
  const ended = await run(t, process.execPath, ARGS, { env: { CHANNEL_URL: url }, input: 'Hello\n\nBye' })
  t.match(ended, { code: 0, stdout: 'Wait. You said: Hello\nWait. You said: Bye\n', stderr: /\[reasoning\] "hm"/ })
})

t.test('terminal.ts shows what is asked elsewhere, once and whole, though its line is cut', async (t) => {
  const gate = deferred()
  const agentExecutor: Executor = async function * () {
    yield 'one'
    await gate.promise
    yield ', two'
  }
  const { app, port } = await serve(t, { agentExecutor })
  const line = await lineTo(t, port)
  const terminal = start(t, process.execPath, ARGS, { env: { CHANNEL_URL: line.url }, input: 'What?' })
  await terminal.printed(/one/)
  const session = { owner: 'anonymous', sessionId: 'tea' }
  await app.channel.publish(session, 'shipped', { orderId: 2 })
  await terminal.printed(/\[shipped\] \{"orderId":2\}/)
  line.cut()
  await terminal.printed(/the connection is lost/)
  await eventually(() => app.channel.stats().connections === 1)
  gate.resolve()
  t.match(await terminal.ended, { code: 0, stdout: 'one, two\n' })
})

t.test('terminal.ts stops what it is told to', async (t) => {
  const { url, app } = await serve(t, {
    agentExecutor: async function * ({ signal }) {
      yield 'one'
      await new Promise((resolve) => { signal.addEventListener('abort', resolve) })
    }
  })
  const terminal = start(t, process.execPath, ARGS, { env: { CHANNEL_URL: url }, input: 'What?' })
  await terminal.printed(/one/)
  await app.channel.cancel({ owner: 'anonymous', sessionId: 'tea' })
  t.match(await terminal.ended, { code: 0, stdout: 'one (stopped)\n' })
})

t.test('terminal.ts says why there is no answer', async (t) => {
  const { url } = await startExample(t, 'server.ts', [], { AUTH_TOKEN: 's3cret' })
  const refused = await run(t, process.execPath, ARGS, { env: { CHANNEL_URL: url, CHANNEL_TOKEN: 'wrong' }, input: 'Hello' })
  t.match(refused, { code: 1, stderr: /The credentials are not accepted/ })
  const welcome = await run(t, process.execPath, ARGS, { env: { CHANNEL_URL: url, CHANNEL_TOKEN: 's3cret' }, input: 'Hello' })
  t.match(welcome, { code: 0, stdout: /\S\n$/ })
})
