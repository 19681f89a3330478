import * as five from 'ai-5'
import * as six from 'ai'
import * as seven from 'ai-7'
import t, { type Test } from 'tap'

import { lineTo } from '../examples/line.js'
import { serve } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'
import { Script } from './host.js'
import { MemoryStorage, Page, partsOf, rolesOf, settled, showing, textOf, type Sdk } from './page.js'

async function host (t: Test) {
  const script = new Script()
  const { url, app, port } = await serve(t, { agentExecutor: script.executor, after: (scope) => { script.define(scope.channel) } })
  return { script, url, app, port }
}

// Chats of all versions do the same with what a transport gives them: their types differ.
const SDKS = { 5: five as unknown as Sdk, 6: six, 7: seven as unknown as Sdk }

for (const [major, sdk] of Object.entries(SDKS)) {
  t.test(`a chat of version ${major} of the AI SDK`, async (t) => { await contract(t, sdk, Number(major)) })
}

async function contract (t: Test, sdk: Sdk, major: number): Promise<void> {
  await t.test('shows all parts of an answer, in their order', async (t) => {
    const { url, script } = await host(t)
    const { chat, finishes } = await new Page(t, sdk, url).open('tea', { isResumed: false })
    await chat.sendMessage({ text: 'all' }, { body: { cups: 2 }, metadata: { mood: 'well' } })
    t.equal(chat.status, 'ready')
    t.match(script.turns[0], { id: chat.messages[0]?.id, sessionId: 'tea', message: 'all', metadata: { cups: 2, mood: 'well' } })
    t.match(partsOf(chat), [
      { type: 'step-start' },
      { type: 'reasoning', text: 'Let me see.', state: 'done' },
      { type: 'text', text: 'I look. ', state: 'done' },
      { type: 'tool-look', toolCallId: 'c1', state: 'output-available', input: { at: 'tea' }, output: { cups: 2 } },
      { type: 'data-progress', id: 'p', data: { percent: 100 } },
      { type: 'step-start' },
      { type: 'text', text: 'There are two.', state: 'done' },
      { type: 'text', text: 'That is all.', state: 'done' },
      { type: 'source-url', sourceId: 's1', url: 'https://tea.example/', title: 'Tea' },
      { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,AAAA' }
    ])
    const turnId = script.turns[0]?.id
    t.match(chat.lastMessage, {
      id: `${turnId}:answer`,
      metadata: { turnId, isComplete: true, finishReason: 'length', usage: { inputTokens: 3, outputTokens: 5 } }
    })
    t.match(finishes, [{ isAbort: false, isError: false, finishReason: 'length' }])
  })

  await t.test('stops its turn at the server', async (t) => {
    const { url, script } = await host(t)
    const { chat, finishes } = await new Page(t, sdk, url).open('tea', { isResumed: false })
    const sent = chat.sendMessage({ text: 'count slowly' })
    await showing(chat, 'one')
    await chat.stop()
    await sent
    t.equal(chat.status, 'ready')
    t.equal(textOf(chat), 'count slowly: one')
    t.match(finishes, [{ isAbort: true, isError: false }])
    await eventually(() => script.stopped.length === 1)
    await chat.sendMessage({ text: 'again' })
    t.equal(textOf(chat), 'again: one, two')
    t.strictSame(rolesOf(chat), ['user', 'assistant', 'user', 'assistant'])
  })

  await t.test('goes on after a reload in the middle of an answer', async (t) => {
    const { url, script } = await host(t)
    const storage = new MemoryStorage()
    const before = await new Page(t, sdk, url, { storage }).open('tea')
    void before.chat.sendMessage({ text: 'count slowly' })
    await showing(before.chat, 'one')

    const page = new Page(t, sdk, url, { storage })
    const { chat, finishes } = await page.open('tea')
    await showing(chat, 'one')
    t.equal(chat.status, 'streaming')
    script.gate('slowly').resolve(undefined)
    await settled(chat)
    t.equal(textOf(chat), 'count slowly: one, two')
    t.match(chat.messages, [{ role: 'user', parts: [{ text: 'count slowly' }] }, { role: 'assistant', metadata: { isComplete: true } }])
    t.equal(finishes.length, 1)
    await settled(before.chat)
    t.strictSame(before.chat.messages.map(({ id }) => id), chat.messages.map(({ id }) => id))
    t.equal(storage.items.size, 0, 'nothing is kept of a turn that has ended')
    await chat.resumeStream()
    t.equal(chat.status, 'ready', 'nothing is being said')
    t.equal(chat.messages.length, 2)
  })

  await t.test('has its approval asked and given, also after a reload', async (t) => {
    const { url } = await host(t)
    const storage = new MemoryStorage()
    const before = await new Page(t, sdk, url, { storage }).open('tea')
    void before.chat.sendMessage({ text: 'buy tea' })
    await showing(before.chat, 'One moment.')
    const page = new Page(t, sdk, url, { storage })
    const { chat } = await page.open('tea')
    const turnId = String(chat.messages[0]?.id)
    const id = `approval-${turnId}`
    // Version 5 has no parts for it, which a host's own data part can be.
    await eventually(() => JSON.stringify(partsOf(chat)).includes(major === 5 ? 'input-available' : 'approval-requested'))
    t.match(partsOf(chat)[3], {
      type: 'tool-buy', input: { what: 'tea' }, ...major === 5 ? {} : { state: 'approval-requested', approval: { id } }
    })
    t.equal(chat.status, 'streaming')
    if (major > 5) await chat.addToolApprovalResponse({ id, approved: true })
    await page.transport.approve({ id, approved: true })
    await settled(chat)
    t.match(partsOf(chat), [
      { type: 'step-start' }, { type: 'reasoning' }, { type: 'text', text: 'One moment. ' },
      { type: 'tool-buy', state: 'output-available', output: { bought: 'tea' } },
      { type: 'step-start' }, { type: 'text', text: 'You have tea.' }
    ])
    await settled(before.chat)
    t.strictSame(before.chat.lastMessage?.parts.length, 6, 'whoever has answered')
    await t.rejects(page.transport.approve({ id, approved: true }), { code: 'VALIDATION_FAILED' }, 'it is asked once')

    void chat.sendMessage({ text: 'buy more' })
    await eventually(() => partsOf(chat).length === 4 && JSON.stringify(partsOf(chat)).includes(major === 5 ? 'input-available' : 'approval-requested'))
    await page.transport.approve({ id: `approval-${String(chat.messages[2]?.id)}`, approved: false, reason: 'too dear' })
    await settled(chat)
    t.match(partsOf(chat)[3], { state: major === 5 ? 'input-available' : 'output-denied' })
    t.equal(textOf(chat), 'One moment. So be it.')
  })

  await t.test('tells what went wrong', async (t) => {
    const { url } = await host(t)
    const { chat, finishes } = await new Page(t, sdk, url).open('tea', { isResumed: false })
    await chat.sendMessage({ text: 'fail' })
    t.equal(chat.status, 'error')
    t.equal(chat.error?.message, 'The agent failed')
    await chat.sendMessage({ text: 'refuse' })
    t.equal(chat.error?.message, 'The shop is closed.')
    await chat.regenerate()
    t.equal(chat.error?.message, 'The shop is closed.', 'also of an answer that is asked for again')
    await chat.sendMessage({ text: 'hello' })
    t.equal(chat.error, undefined)
    t.equal(textOf(chat), 'hello: one, two')
    await chat.regenerate()
    t.equal(textOf(chat), 'hello: one, two')
    t.match(finishes.map(({ isError }) => isError), [true, true, true, false, false])
  })

  await t.test('is one of several on one socket', async (t) => {
    const { url, app, script } = await host(t)
    const page = new Page(t, sdk, url)
    const [tea, coffee] = [await page.open('tea'), await page.open('coffee')]
    const sent = [tea.chat.sendMessage({ text: 'tea slowly' }), coffee.chat.sendMessage({ text: 'coffee too' })]
    await Promise.all([showing(tea.chat, 'one'), showing(coffee.chat, 'one')])
    t.equal(app.channel.stats().connections, 1)
    await coffee.chat.stop()
    await eventually(() => script.stopped.length === 1)
    t.strictSame(script.stopped, ['coffee too'])
    script.gate('slowly').resolve(undefined)
    await Promise.all(sent)
    t.equal(textOf(tea.chat), 'tea slowly: one, two')
    t.equal(textOf(coffee.chat), 'coffee too: one')
  })

  await t.test('loses nothing where a line is cut, and says so where a server was', async (t) => {
    const { script, port } = await host(t)
    const line = await lineTo(t, port)
    const { chat } = await new Page(t, sdk, line.url).open('tea')
    const sent = chat.sendMessage({ text: 'count slowly' })
    await showing(chat, 'one')
    line.isDown = true
    line.cut()
    script.gate('slowly').resolve(undefined)
    await eventually(() => script.turns.length === 1)
    line.isDown = false
    await sent
    t.equal(textOf(chat), 'count slowly: one, two')

    const cut = chat.sendMessage({ text: 'count never' })
    await showing(chat, 'never: one')
    const next = await host(t)
    line.port = next.port
    line.cut()
    await cut
    t.equal(chat.status, 'error')
    t.equal(chat.error?.message, 'It may have been done: the history of the session can tell')
    t.equal(textOf(chat), 'count never: one', 'what was read is kept')
    await chat.sendMessage({ text: 'hello' })
    t.equal(textOf(chat), 'hello: one, two')
    t.strictSame(next.script.turns.map(({ message }) => message), ['hello'], 'nothing runs twice')
  })
}
