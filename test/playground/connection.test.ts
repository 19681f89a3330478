import t from 'tap'

import { deferred } from '../helpers/deferred.js'
import { attributesOf, deviceOf, ended, launch, textOf, visit } from './chromium.js'
import { host } from './host.js'

// A browser takes its time on a busy machine.
t.setTimeout(240_000)

const browser = await launch(t)

const TEXT = 'It was the best of 茶, 🍵 it was ' + 'the worst of tea, '.repeat(40)
/** Of three UTF-16 units each, so that characters are cut in two. */
const PIECES = TEXT.match(/[^]{1,3}/g) ?? []

await t.test('an answer is exact though the server cuts the connection in its midst', async (t) => {
  const { url, cutAll, scripts } = await host(t)
  const [cut, back, cutAgain] = [deferred(), deferred(), deferred()]
  scripts.set('tell', [...PIECES.slice(0, 20), cut.promise, ...PIECES.slice(20, 90), back.promise, ...PIECES.slice(90, 120), cutAgain.promise, ...PIECES.slice(120)])
  const { page, complaints } = await visit(t, browser, url)
  const { ask, state, turn } = deviceOf(page)
  await ask('tell')
  await turn('tell').getByText('It was the best of 茶, 🍵').waitFor()
  const sockets = nextSockets()

  cutAll()
  // What is said now is said to nobody.
  cut.resolve()
  await sockets.next()
  await state('connected')
  back.resolve()
  await turn('tell').getByText(PIECES.slice(0, 118).join('').trimEnd()).waitFor()
  cutAll()
  cutAgain.resolve()
  await sockets.next()
  await ended(turn('tell'))
  t.equal(await textOf(turn('tell')), TEXT)
  t.match(await turn('tell').locator('.outcome').innerText(), /^Ended: stop · /)
  t.strictSame(complaints, [])

  /** The sockets that the page opens from here on. */
  function nextSockets () {
    const opened = [deferred(), deferred()]
    let count = 0
    page.on('websocket', () => { opened[count++]?.resolve() })
    let asked = 0
    return { next: async () => { await opened[asked++]?.promise } }
  }
})

await t.test('a button cuts the socket, and nothing of the answer is lost', async (t) => {
  const { url, scripts } = await host(t)
  const gates = [deferred(), deferred(), deferred()]
  scripts.set('tell', gates.flatMap(({ promise }, index) => [...PIECES.slice(index * 30, index * 30 + 30), promise]))
  const { page, complaints } = await visit(t, browser, url)
  const { ask, button, device, state, turn } = deviceOf(page)
  await device.getByText('Frames:').click()
  await ask('tell')
  for (const [index, gate] of gates.entries()) {
    await turn('tell').getByText(PIECES.slice(0, (index + 1) * 30 - 1).join('').trimEnd()).waitFor()
    const socket = page.waitForEvent('websocket')
    await button('Cut socket').click()
    gate.resolve()
    await socket
    await state('connected')
  }
  await ended(turn('tell'))
  t.equal(await textOf(turn('tell')), PIECES.slice(0, 90).join(''))
  t.equal(await device.getByText('The socket was cut here').count(), 3)
  t.strictSame(complaints, [])
})

await t.test('two devices are in step, whichever of them asks, is cut off or stops the answer', async (t) => {
  const { url, scripts } = await host(t)
  const [more, cut] = [deferred(), deferred()]
  scripts.set('tell both', ['To both: ', more.promise, ...PIECES.slice(0, 50), cut.promise, ...PIECES.slice(50)])
  scripts.set('stop it', ['Never ', new Promise(() => {})])
  const { page, complaints } = await visit(t, browser, url)
  const a = deviceOf(page)
  await a.ask('said before')
  await ended(a.turn('said before'))
  const second = page.getByRole('button', { name: 'Second device' })
  await second.click()
  t.equal(await second.getAttribute('aria-pressed'), 'true')
  const b = deviceOf(page, 'B')
  await b.turn('said before').getByText('From the history').waitFor()

  await b.ask('tell both')
  for (const { turn } of [a, b]) await turn('tell both').getByText('To both:').waitFor()
  more.resolve()
  for (const { turn } of [a, b]) await turn('tell both').getByText('the worst of tea').waitFor()
  await a.button('Cut socket').click()
  cut.resolve()
  for (const { turn } of [a, b]) {
    await ended(turn('tell both'))
    t.equal(await textOf(turn('tell both')), `To both: ${TEXT}`)
  }

  await a.ask('stop it')
  for (const { turn } of [a, b]) await turn('stop it').getByText('Never').waitFor()
  await b.turn('stop it').getByRole('button', { name: 'Stop' }).click()
  for (const { turn } of [a, b]) {
    await ended(turn('stop it'))
    t.match(await turn('stop it').locator('.outcome').innerText(), /^Ended: aborted · /)
  }
  const turns = async ({ device }: typeof a) => await attributesOf(device.getByRole('article'), 'data-turn')
  t.strictSame(await turns(a), await turns(b))
  t.equal((await turns(a)).length, 3)

  await second.click()
  t.equal(await b.device.count(), 0)
  await a.ask('still there?')
  await ended(a.turn('still there?'))
  t.strictSame(complaints, [])
})

await t.test('a server that comes back without its memory is no riddle', async (t) => {
  const first = await host(t)
  first.scripts.set('tell', ['The beginning, ', new Promise(() => {})])
  const { page } = await visit(t, browser, first.url)
  const { ask, state, turn } = deviceOf(page)
  await ask('tell')
  await turn('tell').getByText('The beginning,').waitFor()
  const port = Number(new URL(first.url).port)
  first.cutAll()
  await first.app.close()
  await state('reconnecting')

  await host(t, { at: port })
  await turn('tell').getByText('OUTCOME_UNKNOWN: It may have been done').waitFor()
  t.equal(await textOf(turn('tell')), 'The beginning, ')
  await ask('anew')
  await ended(turn('anew'))
  t.equal(await textOf(turn('anew')), 'You said: anew')
})

await t.test('frames are shown as they were, with the time between them', async (t) => {
  const { url } = await host(t)
  const { page, complaints } = await visit(t, browser, url)
  const { ask, button, device, turn } = deviceOf(page)
  await ask('hello')
  await ended(turn('hello'))
  const id = await turn('hello').getAttribute('data-turn')
  await device.getByText(/^Frames: \d+ received, 3 sent$/).click()
  const rows = device.getByRole('region', { name: 'Frames of device A' }).getByRole('row')
  await rows.filter({ hasText: '"finishReason":"stop"' }).waitFor()
  const sent = rows.filter({ hasText: `{"type":"chat","id":"${id}"` })
  t.equal(await sent.count(), 1)
  t.match(await sent.innerText(), /^\+\d+\.\d\s+↑\s*sent\s+\{"type":"chat",.*"message":"hello"\}$/)
  const kinds = (await rows.locator('code').allInnerTexts()).map((text) => /"type":"([^"]+)"/.exec(text)?.[1] ?? text)
  t.strictSame(kinds.slice(0, 3), ['A socket is opened', 'The socket is open', 'ready'])
  t.strictSame(kinds.slice(-4), ['ack', 'event', 'stream', 'stream'])
  await button('Clear').click()
  await device.getByText('Frames: 0 received, 0 sent').waitFor()
  t.equal(await rows.count(), 1, 'only the heads are left')
  await ask('more')
  await rows.filter({ hasText: '"message":"more"' }).first().waitFor()
  t.strictSame(complaints, [])
})

await t.test('of many frames the newest are kept', async (t) => {
  const { url, scripts } = await host(t, { coalesceMs: 0 })
  scripts.set('count', Array.from({ length: 3_000 }, (_, index) => `${index + 1} `))
  const { page, complaints } = await visit(t, browser, url)
  const { ask, device, turn } = deviceOf(page)
  await device.getByText('Frames:').click()
  await ask('count')
  await ended(turn('count'))
  const rows = device.getByRole('region', { name: 'Frames of device A' }).getByRole('row')
  await rows.filter({ hasText: '"finishReason":"stop"' }).waitFor()
  t.ok(await rows.count() <= 501)
  t.equal(await textOf(turn('count')), Array.from({ length: 3_000 }, (_, index) => `${index + 1} `).join(''))
  t.strictSame(complaints, [])
})

await t.test('a refusal is told in the server\'s words, and a token mends it', async (t) => {
  const { url } = await host(t, {
    before: (app) => {
      app.addHook('onRequest', async (request, reply) => {
        if (request.url.includes('/playground') || request.headers.authorization === 'Bearer s3cret, 2') return
        await reply.code(401).send({ statusCode: 401, code: 'NO', error: 'Unauthorized', message: 'Show me your token' })
      })
    }
  })
  const { page, complaints } = await visit(t, browser, url)
  const { ask, device, state, turn } = deviceOf(page)
  await state('disconnected')
  await device.getByRole('alert').getByText('The server answers 401: Show me your token').waitFor()
  t.ok(complaints.length > 0)
  t.strictSame(complaints.filter((text) => !/401|Authentication failed/.test(text)), [], 'the browser itself complains of that, and of nothing else')

  const token = page.getByLabel('Token')
  t.equal(await token.getAttribute('type'), 'password')
  await token.fill('s3cret, 2')
  await token.press('Enter')
  await state('connected')
  await ask('and now?')
  await ended(turn('and now?'))
  await device.getByText('Frames:').click()
  t.equal(await page.getByText('s3cret').count(), 0)
  t.notMatch(page.url(), /s3cret/)
  t.notMatch(await page.evaluate('JSON.stringify({ ...localStorage, ...sessionStorage })'), /s3cret/)
})

await t.test('a channel that refuses only the socket, for the page\'s origin, says what to do', async (t) => {
  const { url } = await host(t, { playground: { allowedHosts: ['tea.localhost'] } })
  // A name of this machine's that the channel does not know.
  const { page } = await visit(t, browser, url.replace('127.0.0.1', 'tea.localhost'))
  const { device, state } = deviceOf(page)
  await device.getByRole('alert').getByText('list the host in the channel\'s `allowedHosts`').waitFor()
  await state('connecting')
})

await t.test('a host that ends the connection for good is told of', async (t) => {
  const { app, url } = await host(t, { identify: () => 'ada' })
  const { page } = await visit(t, browser, url)
  const { device, state } = deviceOf(page)
  await state('connected')
  app.channel.disconnect('ada')
  await device.getByRole('alert').getByText('CONNECTION_REFUSED: The server does not want this connection').waitFor()
  await state('disconnected')
})

await t.test('agent and session are picked, and the address keeps them', async (t) => {
  const { url } = await host(t)
  const { page, complaints } = await visit(t, browser, url)
  const { ask, device, turn } = deviceOf(page)
  const [agent, session] = [page.getByRole('combobox', { name: 'Agent' }), page.getByRole('combobox', { name: 'Session' })]
  t.equal(await agent.inputValue(), 'main')
  const known = page.locator('datalist').first().locator('option')
  t.strictSame(await attributesOf(known, 'value'), ['main', 'other'])
  t.strictSame(await attributesOf(known, 'label'), ['main: Says what it is told to', null])
  t.match(await session.inputValue(), /^[\da-f]{24}$/)
  await agent.fill('other')
  await session.fill('茶 1')
  await page.getByRole('button', { name: 'Connect' }).click()
  await ask('who are you?')
  await ended(turn('who are you?'))
  t.equal(await textOf(turn('who are you?')), 'Other: who are you?')
  t.strictSame([...new URL(page.url()).searchParams], [['agentId', 'other'], ['sessionId', '茶 1']])

  await page.reload()
  await turn('who are you?').getByText('From the history').waitFor()
  await page.getByRole('button', { name: 'New session' }).click()
  await device.getByText('Nothing was said in this session yet.').waitFor()
  t.match(new URL(page.url()).searchParams.get('sessionId'), /^[\da-f]{24}$/)
  t.ok((await attributesOf(page.locator('datalist').last().locator('option'), 'value')).includes('茶 1'))
  t.strictSame(complaints, [])
})
