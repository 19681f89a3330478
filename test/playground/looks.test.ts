import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

import type { BrowserContextOptions, Page } from 'playwright-core'
import t, { type Test } from 'tap'

import { deferred } from '../helpers/deferred.js'
import { deviceOf, ended, launch, picture, textOf, visit } from './chromium.js'
import { host, type Script } from './host.js'

// A browser takes its time on a busy machine.
t.setTimeout(300_000)

const browser = await launch(t)
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Whatever the page does about a change of its size is done then. */
const TWO_FRAMES = 'new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))'

const WIDE = { viewport: { width: 1280, height: 800 } }
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }
const SCREENS: Record<string, BrowserContextOptions> = {
  'wide-light': { ...WIDE, colorScheme: 'light' },
  'wide-dark': { ...WIDE, colorScheme: 'dark', locale: 'zh-CN' },
  'phone-light': { ...PHONE, colorScheme: 'light' },
  'phone-dark': { ...PHONE, colorScheme: 'dark', locale: 'zh-CN' }
}

const ANSWER = `# Teas 茶

We have **two**, from [this page](https://example.com), see \`shelf 2\`:

1. green tea 绿茶
2. oolong 乌龙茶
   - a dark one

> Tea is never hurried. 茶不急。

| Tea | Price |
|---|--:|
| green | 12 |
| 乌龙 | 15 |

## How

\`\`\`js
const cup = brew({ leaves: 'oolong', minutes: 3, water: 'ninety degrees', pot: 'the one that is too long for a line' })
\`\`\`
`

const TEA: Script = [
  { type: 'event', name: 'reasoning', data: { id: 'r', text: 'They ask for tea. I shall look at the shelf. 先看看架子。' } },
  { type: 'event', name: 'tool-input', data: { toolCallId: '1', toolName: 'look-up', input: { shelf: 2 } } },
  { type: 'event', name: 'tool-output', data: { toolCallId: '1', toolName: 'look-up', output: ['green', 'oolong'] } },
  ...ANSWER.match(/[^]{1,9}/g) ?? [],
  { type: 'finish', finishReason: 'stop', usage: { inputTokens: 21, outputTokens: 140 } }
]

for (const [name, screen] of Object.entries(SCREENS)) {
  await t.test(`on a screen such as ${name} everything can be seen, and nothing is wrong for who cannot see`, async (t) => {
    const { url, scripts } = await host(t)
    const more = deferred()
    scripts.set('tea? 茶?', TEA)
    scripts.set('slowly', ['One moment, ', more.promise, 'here it is.'])
    const { page, complaints } = await visit(t, browser, url, screen)
    await page.evaluate(AXE)
    const a = cssDevice(page, 'A')
    await a.state('open')
    await check(t, page, `${name}-1-empty`)

    await a.ask('tea? 茶?')
    await a.ended(1)
    await check(t, page, `${name}-2-answer`)
    await page.locator('[data-device=A] .frames > summary').click()
    await page.locator('[data-device=A] tr.sent').first().waitFor()
    await page.locator('[data-device=A] .event summary').nth(1).click()
    await check(t, page, `${name}-3-frames`)
    await page.locator('[data-device=A] .frames > summary').click()

    await page.locator('.bar > button').click()
    const b = cssDevice(page, 'B')
    await b.state('open')
    await b.ask('slowly')
    await page.locator('[data-device=A] .turn[aria-busy=true] .text', { hasText: 'One moment' }).waitFor()
    await b.ask('and then')
    await page.locator('[data-device=B] .turn').nth(2).waitFor()
    await page.locator('[data-device=B] .terms > summary').click()
    await check(t, page, `${name}-4-two`)
    more.resolve()
    await b.ended(3)

    const settings = page.locator('.settings')
    if (await settings.getAttribute('open') === null) await settings.locator('summary').click()
    await page.locator('.place input').first().fill('nobody')
    await page.locator('.place button[type=submit]').click()
    await a.state('open')
    await a.ask('x')
    await page.locator('[data-device=A] .turn.failed').waitFor()
    await check(t, page, `${name}-5-failed`)
    t.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true, 'nothing is wider than the screen')
    t.strictSame(complaints, [])
  })
}

await t.test('the check finds what is wrong', async (t) => {
  const { url } = await host(t)
  const { page } = await visit(t, browser, url)
  await page.evaluate(AXE)
  await page.evaluate('document.querySelector("main").append(document.createElement("button"))')
  t.match(await violations(page), [/^button-name: /])
})

await t.test('everything can be done by keyboard', async (t) => {
  const { url } = await host(t)
  const { page } = await visit(t, browser, url)
  const { device, state, turn } = deviceOf(page)
  await state('connected')
  const message = device.getByRole('textbox', { name: 'Message', exact: true })
  t.equal(await page.evaluate('document.activeElement === document.querySelector(".message")'), true, 'who comes can write at once')
  await page.keyboard.type('one')
  await page.keyboard.press('Shift+Enter')
  await page.keyboard.type('two')
  await page.keyboard.press('Enter')
  await ended(turn('one'))
  t.equal(await textOf(turn('one')), 'You said: one\ntwo')
  await message.focus()
  await page.keyboard.press('Enter')
  t.equal(await device.getByRole('article').count(), 1, 'nothing is no question')

  const seen = new Set<string>()
  await page.evaluate('document.activeElement.blur()')
  for (let presses = 0; presses < 40; presses++) {
    await page.keyboard.press('Tab')
    const name = await page.evaluate<string>('(() => { const { activeElement: at } = document; return at.tagName + " " + ' +
      '(at.getAttribute("aria-label") ?? (at.labels?.[0] ?? at).innerText ?? "").split("\\n")[0] })()')
    seen.add(name)
    if (!name.startsWith('BODY')) t.not(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'none', `where ${name} is can be seen`)
  }
  for (const name of [
    'SELECT Language', 'SELECT Colours', 'BUTTON Second device', 'INPUT Agent', 'INPUT Session', 'BUTTON New session', 'INPUT Token', 'BUTTON Connect',
    'BUTTON Cut socket', 'BUTTON Stop all', 'DIV Conversation of device A', 'BUTTON As text', 'SUMMARY Frames: 7 received, 3 sent',
    'TEXTAREA Message', 'SUMMARY How it is sent', 'BUTTON Send'
  ]) t.ok(seen.has(name), `${name} among ${[...seen].join(', ')}`)
})

await t.test('Enter that ends the choice of a Chinese word sends nothing', async (t) => {
  const { url } = await host(t)
  const { page } = await visit(t, browser, url)
  const { device, state, turn } = deviceOf(page)
  await state('connected')
  const session = await page.context().newCDPSession(page)
  await session.send('Input.imeSetComposition', { text: 'cha', selectionStart: 3, selectionEnd: 3 })
  await page.locator('.message').dispatchEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true })
  await session.send('Input.insertText', { text: '茶' })
  t.equal(await page.locator('.message').inputValue(), '茶')
  t.equal(await device.getByRole('article').count(), 0)
  await page.keyboard.press('Enter')
  await ended(turn('茶'))
  t.equal(await textOf(turn('茶')), 'You said: 茶')
})

await t.test('language and colours are the reader\'s, and are remembered', async (t) => {
  const { url } = await host(t)
  const { page } = await visit(t, browser, url)
  const { ask, turn } = deviceOf(page)
  await ask('hi')
  await ended(turn('hi'))
  await page.getByLabel('Language').selectOption('zh')
  const chinese = page.getByRole('region', { name: '设备 A' })
  await chinese.locator('.state', { hasText: '已连接' }).waitFor()
  t.equal(await page.locator('html').getAttribute('lang'), 'zh-CN')
  t.equal(await page.title(), '通道试用页')
  await page.getByRole('button', { name: '发送', exact: true }).waitFor()
  t.match(await chinese.locator('.outcome').innerText(), /^结束：stop · 首段用时 \d+ 毫秒 · 1 段 · 共 \d+ 毫秒$/)
  t.strictSame((await page.locator('header, .device-head, .composer, .frames').allInnerTexts()).join(' ').match(/[A-Za-z]{2,}/g), ['English'])

  const ground = async () => await page.evaluate('getComputedStyle(document.body).backgroundColor')
  const light = await ground()
  await page.getByLabel('颜色').selectOption('dark')
  t.not(await ground(), light)
  await page.reload()
  await chinese.locator('.state', { hasText: '已连接' }).waitFor()
  t.not(await ground(), light)
  await page.getByLabel('颜色').selectOption('auto')
  t.equal(await ground(), light)
  await page.getByLabel('语言').selectOption('en')
  await deviceOf(page).state('connected')
})

await t.test('who has scrolled up stays there, and who is at the end stays at the end', async (t) => {
  const { url, scripts } = await host(t)
  const [more, evenMore] = [deferred(), deferred()]
  const lines = 'A line of tea.\n\n'.repeat(60)
  scripts.set('long', [lines, more.promise, lines, evenMore.promise, lines])
  const { page } = await visit(t, browser, url)
  const { ask, device, turn } = deviceOf(page)
  await ask('long')
  const conversation = device.getByRole('region', { name: 'Conversation' })
  const place = async () => await page.evaluate<[number, number]>('(({ scrollTop, scrollHeight, clientHeight }) => ' +
    '[scrollTop, scrollHeight - clientHeight - scrollTop])(document.querySelector(".transcript"))')
  const grown = async (count: number) => { await turn('long').locator('.text p').nth(count - 1).waitFor({ state: 'attached' }) }
  await grown(60)
  t.ok((await place())[1] < 2)
  more.resolve()
  await grown(120)
  t.ok((await place())[1] < 2)
  await device.getByText('Frames:').click()
  await device.getByRole('region', { name: 'Frames' }).waitFor()
  await page.evaluate(TWO_FRAMES)
  t.ok((await place())[1] < 2, 'also with less room')

  await conversation.focus()
  await page.keyboard.press('Home')
  while ((await place())[0] > 0);
  await page.evaluate(TWO_FRAMES)
  evenMore.resolve()
  await grown(180)
  t.equal((await place())[0], 0)
})

/** One device, in whatever language the page is. */
function cssDevice (page: Page, name: string) {
  const device = page.locator(`[data-device=${name}]`)
  return {
    state: async (state: string) => { await device.locator(`.state[data-state=${state}]`).waitFor() },
    ask: async (message: string) => {
      await device.locator('.message').fill(message)
      await device.locator('.message').press('Enter')
    },
    /** Waits until so many turns have ended. */
    ended: async (count: number) => { await device.locator('.turn[aria-busy=false]').nth(count - 1).waitFor() }
  }
}

/** Nothing that axe finds, and a picture to look at. */
async function check (t: Test, page: Page, name: string): Promise<void> {
  await picture(page, name)
  t.strictSame(await violations(page), [], name)
}

async function violations (page: Page): Promise<string[]> {
  const found = await page.evaluate<Axe>('axe.run({ resultTypes: ["violations"] })')
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('\n')}`)
}

interface Axe {
  violations: Array<{ id: string, nodes: Array<{ html: string, failureSummary: string }> }>
}
