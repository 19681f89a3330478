import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'

import { attributesOf, launch, visit, type Visit } from '../playground/chromium.js'
import { startExample } from './processes.js'

// Starting processes takes its time on a busy machine, and bundling too.
t.setTimeout(180_000)

/** A word takes 30 ms to be said: nine seconds, so that the end is far away when the first words are seen. */
const LONG = words(300)

t.test('react-chat, in Chromium', async (t) => {
  const { port, printed } = await startExample(t, 'react-chat/server.ts')
  const browser = await launch(t)
  const visits: Array<Promise<Visit>> = []
  const open = async (t: Test, chat: string): Promise<Page> => {
    const visited = visit(t, browser, `http://localhost:${port}/#${chat}`)
    visits.push(visited)
    return (await visited).page
  }

  await t.test('streams an answer', async (t) => {
    const page = await open(t, 'streams')
    await say(page, LONG)
    await said(page, 'You said: word0 word1 ')
    t.notMatch(await answerOf(page), 'word299', 'as it comes')
    await said(page, 'word299')
    t.equal(await answerOf(page), `You said: ${LONG}`)
    t.equal(await page.locator('.reasoning').textContent(), `The question has ${LONG.length} characters.`)
    await idle(page)
  })

  await t.test('goes on to the exact text when it is reloaded in the middle', async (t) => {
    const page = await open(t, 'reload')
    await say(page, LONG)
    await said(page, 'You said: word0 word1 ')
    await page.reload()
    await said(page, 'You said: word0 ')
    t.notMatch(await answerOf(page), 'word299')
    t.equal(await page.getByRole('button', { name: 'Stop' }).isEnabled(), true)
    await said(page, 'word299')
    await idle(page)
    t.equal(await answerOf(page), `You said: ${LONG}`)
    t.strictSame(await attributesOf(page.locator('article'), 'class'), ['user', 'assistant'])
    t.equal(await page.locator('.reasoning').count(), 1, 'with all that it was told before')
    await page.reload()
    await said(page, 'word299')
    t.equal(await answerOf(page), `You said: ${LONG}`, 'and it is there when it is over')
  })

  await t.test('ends the agent on the server by its button, also after a reload', async (t) => {
    const page = await open(t, 'stop')
    // Half a minute: were it said to its end before a slow machine has shown the page again, nothing could be stopped.
    const question = words(1000)
    await say(page, question)
    await said(page, 'word1 ')
    await page.reload()
    await said(page, 'word1 ')
    await page.getByRole('button', { name: 'Stop' }).click()
    await printed(/the agent was stopped/)
    await idle(page)
    const text = await answerOf(page)
    t.ok(`You said: ${question}`.startsWith(text) && !text.includes('word999'), 'it has what there was')
    await say(page, 'again')
    await said(page, 'You said: again')
  })

  await t.test('asks for approval, and is given it after a reload', async (t) => {
    const page = await open(t, 'approval')
    await say(page, 'buy 3 teapots')
    await page.getByRole('alertdialog').getByText('Buy 3 teapots?').waitFor()
    await page.reload()
    await page.getByRole('alertdialog').getByText('Buy 3 teapots?').waitFor()
    await page.getByRole('button', { name: 'Yes' }).click()
    await said(page, 'You have 3 teapots now.')
    t.equal(await page.getByText('Bought: 3 teapots').count(), 1)
    t.equal(await page.getByRole('alertdialog').count(), 0)
    t.equal(await answerOf(page), 'One moment, please. You have 3 teapots now.')
    await idle(page)
  })

  await t.test('asks on another device too, and shows what was answered there', async (t) => {
    const laptop = await open(t, 'devices')
    await say(laptop, 'buy tea')
    await laptop.getByRole('alertdialog').waitFor()
    const phone = await open(t, 'devices')
    await phone.getByRole('button', { name: 'No' }).click()
    for (const page of [phone, laptop]) {
      await said(page, 'So be it.')
      t.equal(await answerOf(page), 'One moment, please. So be it.')
      t.equal(await page.getByRole('alertdialog').count(), 0)
    }
  })

  const complaints = (await Promise.all(visits)).flatMap(({ complaints }) => complaints)
  t.strictSame(complaints, [], 'the browser has nothing to complain about')
})

function words (length: number): string {
  return Array.from({ length }, (_, index) => `word${index}`).join(' ')
}

async function say (page: Page, text: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Your message' }).fill(text)
  await page.getByRole('button', { name: 'Say it' }).click()
}

async function said (page: Page, text: string): Promise<void> {
  await page.locator('article.assistant').last().filter({ hasText: text }).waitFor()
}

/** The texts of the last answer, without what was thought and done in between. */
async function answerOf (page: Page): Promise<string> {
  return (await page.locator('article.assistant').last().locator('.text').allTextContents()).join('')
}

async function idle (page: Page): Promise<void> {
  await page.locator('button[type=button]:disabled', { hasText: 'Stop' }).waitFor()
}
