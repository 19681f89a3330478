import t, { type Test } from 'tap'

import { memoryJournal, type Executor } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { lineTo } from './line.js'
import { start, startExample } from './processes.js'

// Starting processes takes its time on a busy machine.
t.setTimeout(120_000)

await t.test('resume.mjs', async (t) => {
  await t.test('prints an answer once, though the line is cut in the midst of it', async (t) => {
    const gates = [deferred(), deferred()]
    const { port } = await serve(t, { agentExecutor: counter(gates) })
    const line = await lineTo(t, port)
    const client = startClient(t, line.url)
    for (const [index, text] of ['one ', 'one two '].entries()) {
      await client.printed(new RegExp(`^${text}`))
      line.cut()
      gates[index]?.resolve()
    }
    t.match(await client.ended, { code: 0, stdout: 'one two three\n' })
  })

  await t.test('has its chat run once, though it never heard that it was accepted', async (t) => {
    const [gate, begun] = [deferred(), deferred()]
    const count = counter([gate])
    let runs = 0
    const { app, port } = await serve(t, {
      agentExecutor (turn) {
        runs++
        begun.resolve()
        return count(turn)
      }
    })
    const line = await lineTo(t, port)
    line.loseAfter = '"type":"subscribed"'
    const client = startClient(t, line.url)
    await begun.promise
    line.loseAfter = undefined
    line.cut()
    await client.printed(/^one /)
    gate.resolve()
    t.match(await client.ended, { code: 0, stdout: 'one two three\n' })
    t.equal(runs, 1)
    const { messages } = await app.sessionStore.messages({ owner: 'anonymous', agentId: 'main', sessionId: 'tea' }, { limit: 9 })
    t.match(messages, [{ role: 'user', content: 'count' }, { role: 'assistant', content: 'one two three', complete: true }])
  })

  await t.test('prints the rest of an answer of which the journal holds no more', async (t) => {
    const gate = deferred()
    const { app, port } = await serve(t, { agentExecutor: counter([gate], 99), journal: memoryJournal({ maxEntries: 8 }) })
    const line = await lineTo(t, port)
    const client = startClient(t, line.url)
    await client.printed(/^one /)
    line.isDown = true
    line.cut()
    gate.resolve()
    await eventually(() => app.channel.stats().turns === 0)
    line.isDown = false
    t.match(await client.ended, { code: 0, stdout: 'one two three\n' })
  })

  await t.test('does not send its chat to a server that has forgotten it', async (t) => {
    const [first, second] = [await serve(t, { agentExecutor: counter([deferred()]) }), await serve(t)]
    const line = await lineTo(t, first.port)
    const client = startClient(t, line.url)
    await client.printed(/^one /)
    line.port = second.port
    line.cut()
    t.match(await client.ended, { code: 1, stdout: 'one \n', stderr: /OUTCOME_UNKNOWN\n$/ })
    const asked = await second.app.sessionStore.messages({ owner: 'anonymous', agentId: 'main', sessionId: 'tea' }, { limit: 9 })
    t.strictSame(asked, { messages: [] })
  })

  await t.test('says why its chat was not answered', async (t) => {
    const { url } = await serve(t, { agentExecutor: { other: () => '' } })
    t.match(await startClient(t, url).ended, { code: 1, stderr: 'AGENT_NOT_FOUND: No such agent\n' })
  })

  await t.test('says that it was refused', async (t) => {
    const { url } = await startExample(t, 'server.ts', [], { AUTH_TOKEN: 's3cret' })
    t.match(await startClient(t, url).ended, { code: 1, stderr: 'the server refused the connection: 401\n' })
    t.match(await startClient(t, url, 's3cret').ended, { code: 0, stdout: /\S\n$/ })
  })
})

function startClient (t: Test, url: string, token = '') {
  return start(t, process.execPath, ['examples/resume.mjs', 'tea', 'count'], { env: { CHANNEL_URL: url, CHANNEL_TOKEN: token } })
}

/** Counts to three, and waits at the gates, as many as there are; in between it tells so many events. */
function counter (gates: Array<{ promise: Promise<void> }>, events = 1): Executor {
  return async function * () {
    for (const [index, word] of ['one ', 'two ', 'three'].entries()) {
      yield word
      await gates[index]?.promise
      for (let event = 0; event < events; event++) yield { type: 'event', name: 'progress', data: event }
    }
  }
}
