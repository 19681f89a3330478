import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { chromium, type BrowserContextOptions, type Locator, type Page } from 'playwright-core'
import type { Test } from 'tap'

const SCREENSHOTS = fileURLToPath(new URL('screenshots/', import.meta.url))

/** Debian's, and of its own accord it asks nobody on the network for anything. */
export async function launch (t: Test) {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
      '--disable-sync'
    ]
  })
  t.teardown(async () => { await browser.close() })
  return browser
}

export type Browser = Awaited<ReturnType<typeof launch>>

export interface Visit {
  page: Page
  /** What the browser has complained about. */
  complaints: string[]
}

/** A browser of its own, so to speak: with its storage, its language, its screen. */
export async function visit (t: Test, browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1280, height: 800 }, ...options })
  t.teardown(async () => { await context.close() })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) complaints.push(message.text()) })
  page.on('pageerror', (error) => { complaints.push(String(error)) })
  await page.goto(url)
  return { page, complaints }
}

/** One device of the page, as people find what is on it. */
export function deviceOf (page: Page, name = 'A'): DeviceOnPage {
  const device = page.getByRole('region', { name: `Device ${name}`, exact: true })
  return {
    device,
    state: (text) => device.locator('.state', { hasText: text }).waitFor(),
    async ask (message) {
      await device.getByRole('textbox', { name: 'Message', exact: true }).fill(message)
      await device.getByRole('button', { name: 'Send' }).click()
    },
    turn: (question) => device.getByRole('article').filter({ has: page.locator('.said', { hasText: question }) }),
    button: (label) => device.getByRole('button', { name: label, exact: true })
  }
}

export interface DeviceOnPage {
  device: Locator
  state: (text: string) => Promise<void>
  ask: (message: string) => Promise<void>
  turn: (question: string) => Locator
  button: (label: string) => Locator
}

/** Waits until the turn has ended. */
export async function ended (turn: Locator): Promise<void> {
  await turn.and(turn.page().locator('[aria-busy="false"]')).waitFor()
}

/** The answer to its last character: how it is shown is Markdown's affair. */
export async function textOf (turn: Locator): Promise<string> {
  const source = turn.getByRole('button', { name: 'As text' })
  if (await source.getAttribute('aria-pressed') === 'false') await source.click()
  return await turn.locator('.text').last().textContent() ?? ''
}

/** For people to look at: nothing compares it. */
export async function picture (page: Page, name: string): Promise<void> {
  mkdirSync(SCREENSHOTS, { recursive: true })
  await page.screenshot({ path: `${SCREENSHOTS}${name}.png` })
}

/** An attribute of each of the elements. */
export async function attributesOf (elements: Locator, name: string): Promise<Array<string | null>> {
  return await Promise.all((await elements.all()).map(async (element) => await element.getAttribute(name)))
}
