import { chromium, type Page } from 'playwright-core'
import t from 'tap'

import { startExample } from './processes.js'

// Starting processes takes its time on a busy machine.
t.setTimeout(120_000)

t.test('browser.html, in two windows', async (t) => {
  const { port } = await startExample(t, 'browser.ts')
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] })
  t.teardown(async () => { await browser.close() })
  const faults: string[] = []
  const open = async (): Promise<Page> => {
    const page = await browser.newPage()
    page.on('console', (message) => { if (message.type() === 'error') faults.push(message.text()) })
    page.on('pageerror', (error) => { faults.push(error.message) })
    await page.goto(`http://localhost:${port}/#tea`)
    return page
  }
  const [laptop, phone] = [await open(), await open()]

  await t.test('shows the answer in both as it is given', async (t) => {
    await ask(laptop, 'Good morning')
    for (const page of [laptop, phone]) await page.getByText('You said: Good morning', { exact: true }).waitFor()
    t.strictSame(await textOf(phone), ['Good morning', 'You said: Good morning'])
  })

  await t.test('stops an answer', async (t) => {
    await ask(laptop, 'Tell me all of it '.repeat(20))
    await laptop.getByText(/You said: Tell me/).waitFor()
    await laptop.getByRole('button', { name: 'Stop' }).click()
    await laptop.getByText('(stopped)').waitFor()
    t.equal(await laptop.getByRole('button', { name: 'Stop' }).isDisabled(), true)
  })

  await t.test('takes an answer for text', async (t) => {
    await ask(phone, '<img src=x onerror=alert(1)>')
    await laptop.getByText('You said: <img src=x onerror=alert(1)>').waitFor()
    t.equal(await laptop.locator('img').count(), 0)
  })

  await t.test('finds what was said when it is opened again', async (t) => {
    await laptop.reload()
    await laptop.getByText('You said: Good morning', { exact: true }).waitFor()
    t.equal((await textOf(laptop))[0], 'Good morning')
  })
  t.strictSame(faults, [])
})

async function ask (page: Page, message: string): Promise<void> {
  await page.getByRole('textbox').fill(message)
  await page.getByRole('button', { name: 'Say it' }).click()
}

async function textOf (page: Page): Promise<string[]> {
  return await page.locator('article p').allTextContents()
}
