import t from 'tap'

import { deferred } from '../helpers/deferred.js'
import { deviceOf, ended, launch, textOf, visit } from './chromium.js'
import { host } from './host.js'

// A browser takes its time on a busy machine.
t.setTimeout(240_000)

const browser = await launch(t)

await t.test('a question is answered piece by piece, with what the agent does meanwhile', async (t) => {
  const { url, scripts } = await host(t)
  const more = deferred()
  scripts.set('Which tea 茶?', [
    { type: 'event', name: 'reasoning', data: { id: 'r', text: 'They want ' } },
    { type: 'event', name: 'reasoning', data: { id: 'r', text: 'tea.' } },
    { type: 'event', name: 'tool-input', data: { toolCallId: '1', toolName: 'look-up', input: { shelf: 2 } } },
    { type: 'event', name: 'progress', data: null },
    { type: 'message', content: 'One *moment*.' },
    '**Green**', more.promise, ' and 乌龙', '茶 🍵',
    { type: 'finish', finishReason: 'stop', usage: { inputTokens: 9, outputTokens: 12 } }
  ])
  const { page, complaints } = await visit(t, browser, url)
  const { ask, device, state, turn } = deviceOf(page)
  await state('connected')
  await device.getByText('Nothing was said in this session yet.').waitFor()
  await ask('Which tea 茶?')

  const answer = turn('Which tea 茶?')
  await answer.locator('strong', { hasText: 'Green' }).waitFor()
  t.equal(await answer.getAttribute('aria-busy'), 'true')
  t.match(await answer.locator('.outcome').innerText(), /^Answering · first piece after \d+ ms · 2 pieces · \d+ ms in all$/)
  t.equal(await answer.locator('.reasoning .thought').innerText(), 'They want tea.')
  t.strictSame(await answer.locator('.event-name').allInnerTexts(), ['tool-input', 'progress'])
  await answer.getByText('look-up: {"shelf":2}').click()
  t.match(await answer.locator('.event pre').first().innerText(), /"toolCallId": "1"/)
  t.equal(await answer.locator('.whole-messages em').innerText(), 'moment')
  t.equal(await device.getByText('Nothing was said').isVisible(), false)

  more.resolve()
  await ended(answer)
  t.match(await answer.locator('.outcome').innerText(),
    /^Ended: stop · first piece after \d+ ms · \d pieces( · [\d.]+ pieces\/s)? · \d+ ms in all · 9 tokens in, 12 out$/)
  t.equal(await textOf(answer), '**Green** and 乌龙茶 🍵')
  await device.getByRole('status').getByText('Answer: **Green** and 乌龙茶 🍵').waitFor({ state: 'attached' })

  await ask('again')
  await ended(turn('again'))
  t.equal(await textOf(turn('again')), 'You said: again')
  t.strictSame(complaints, [])
})

await t.test('an answer is stopped, by its button, by a key, or with all that waits', async (t) => {
  const { url, scripts } = await host(t)
  const never = new Promise(() => {})
  for (const message of ['first', 'second', 'third']) scripts.set(message, [`The ${message} part, `, never])
  const { page, complaints } = await visit(t, browser, url)
  const { ask, button, turn } = deviceOf(page)

  await ask('first')
  await turn('first').getByText('The first part,').waitFor()
  await turn('first').getByRole('button', { name: 'Stop' }).click()
  await ended(turn('first'))
  t.match(await turn('first').locator('.outcome').innerText(), /^Ended: aborted · /)
  t.equal(await textOf(turn('first')), 'The first part, ')
  t.notOk(await turn('first').getByRole('button', { name: 'Stop' }).isVisible())

  await ask('second')
  await turn('second').getByText('The second part,').waitFor()
  await page.getByRole('textbox', { name: 'Message' }).press('Escape')
  await ended(turn('second'))
  t.match(await turn('second').locator('.outcome').innerText(), /^Ended: aborted · /)

  await ask('third')
  await ask('waits behind it')
  await turn('waits behind it').getByText('Waits in place 1').waitFor()
  await button('Stop all').click()
  await ended(turn('third'))
  await ended(turn('waits behind it'))
  t.match(await turn('waits behind it').locator('.outcome').innerText(), /^Ended: aborted/)
  t.strictSame(complaints, [])
})

await t.test('a chat to a busy session waits, is refused, or interrupts', async (t) => {
  const { url, scripts } = await host(t)
  const done = deferred()
  scripts.set('long', ['It begins, ', done.promise, 'it ends.'])
  scripts.set('longer', ['It begins again, ', new Promise(() => {})])
  const { page, complaints } = await visit(t, browser, url)
  const { ask, device, turn } = deviceOf(page)
  await device.getByText('How it is sent').click()
  const onBusy = device.getByRole('combobox', { name: 'When the session is busy' })

  await ask('long')
  await turn('long').getByText('It begins,').waitFor()
  await onBusy.selectOption('queue')
  await ask('behind')
  await turn('behind').getByText('Waits in place 1').waitFor()
  await onBusy.selectOption('reject')
  await ask('refused')
  await turn('refused').getByText('SESSION_BUSY: A turn of this session is running').waitFor()
  done.resolve()
  await ended(turn('behind'))
  t.equal(await textOf(turn('long')), 'It begins, it ends.')
  t.equal(await textOf(turn('behind')), 'You said: behind')

  await ask('longer')
  await turn('longer').getByText('It begins again,').waitFor()
  await onBusy.selectOption('interrupt')
  await ask('now')
  await ended(turn('now'))
  t.equal(await textOf(turn('now')), 'You said: now')
  t.match(await turn('longer').locator('.outcome').innerText(), /^Ended: aborted/)
  t.equal(await textOf(turn('longer')), 'It begins again, ')

  await device.getByRole('checkbox', { name: 'Stream the answer' }).uncheck()
  scripts.set('whole', ['a', 'b', 'c'])
  await ask('whole')
  await ended(turn('whole'))
  t.equal(await textOf(turn('whole')), 'abc')
  t.match(await turn('whole').locator('.outcome').innerText(), / · 1 piece · /)
  t.strictSame(complaints, [])
})

await t.test('metadata goes to the agent, where they are an object', async (t) => {
  const { url } = await host(t, { agentExecutor: ({ message, metadata }) => `${message} ${JSON.stringify(metadata ?? null)}` })
  const { page } = await visit(t, browser, url)
  const { ask, device, turn } = deviceOf(page)
  await device.getByText('How it is sent').click()
  const metadata = device.getByRole('textbox', { name: 'Metadata' })
  for (const wrong of ['{', '[]', 'null', '7']) {
    await metadata.fill(wrong)
    await ask('none')
    await device.getByRole('alert').getByText('The metadata must be a JSON object.').waitFor()
    t.equal(await device.getByRole('textbox', { name: 'Message', exact: true }).inputValue(), 'none', 'and nothing is sent')
  }
  await metadata.fill('{"to":"zh"}')
  await ask('some')
  await ended(turn('some'))
  t.equal(await textOf(turn('some')), 'some {"to":"zh"}')
  t.equal(await device.getByRole('article').count(), 1)
})

await t.test('what fails is said by its code', async (t) => {
  const { url } = await host(t, {
    agentExecutor: { main: () => { throw new Error('the key is 1234') } }
  })
  const { page, complaints } = await visit(t, browser, `${url}?agentId=main&sessionId=tea`)
  const { ask, device, turn } = deviceOf(page)
  await ask('boom')
  await turn('boom').getByText('AGENT_ERROR: The agent failed').waitFor()
  await page.getByRole('combobox', { name: 'Agent' }).fill('nobody')
  await page.getByRole('button', { name: 'Connect' }).click()
  await ask('anybody?')
  await turn('anybody?').getByText('AGENT_NOT_FOUND: No such agent').waitFor()
  t.equal(await device.getByText('1234').count(), 0)
  t.strictSame(complaints, [])
})

await t.test('what was said stays: after a reload, page by page, and in the order in which it was said', async (t) => {
  const { url, app, scripts } = await host(t, { maxQueuedTurns: 30 })
  const done = deferred()
  const { page, complaints } = await visit(t, browser, `${url}?sessionId=tea`)
  const session = { owner: 'anonymous', sessionId: 'tea' }
  for (let index = 1; index <= 24; index++) await app.channel.startTurn({ ...session, message: `question ${index}.` })
  const { device, turn } = deviceOf(page)
  await ended(turn('question 24.'))
  scripts.set('the running one', ['So far, ', done.promise, 'so good.'])
  await app.channel.startTurn({ ...session, message: 'the running one' })
  await turn('the running one').getByText('So far,').waitFor()

  await page.reload()
  await turn('the running one').getByText('So far,').waitFor()
  await turn('question 24.').getByText('From the history').waitFor()
  const questions = async () => await device.locator('.said').allInnerTexts()
  const newest = await questions()
  t.equal(newest.at(-1), 'the running one')
  t.ok(newest.length < 24)
  while (await device.getByRole('button', { name: 'Older messages' }).isVisible()) {
    const count = await device.locator('.said').count()
    await device.getByRole('button', { name: 'Older messages' }).click()
    await device.locator('.said').nth(count).or(device.locator('.older[hidden]')).first().waitFor({ state: 'attached' })
  }
  t.strictSame(await questions(), [...Array.from({ length: 24 }, (_, index) => `question ${index + 1}.`), 'the running one'])
  t.equal(await textOf(turn('question 1.')), 'You said: question 1.')
  done.resolve()
  await ended(turn('the running one'))
  t.equal(await textOf(turn('the running one')), 'So far, so good.')

  await app.channel.publish(session, 'order-shipped', { orderId: 2 })
  await device.getByText('Event outside a turn: order-shipped').waitFor()
  t.strictSame(complaints, [])
})
