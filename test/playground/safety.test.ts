import t from 'tap'

import { deviceOf, ended, launch, textOf, visit } from './chromium.js'
import { host } from './host.js'

// A browser takes its time on a busy machine.
t.setTimeout(240_000)

const browser = await launch(t)

/** Each would call it in a page that takes it for HTML, or for an address to follow. */
const ATTACKS = [
  '<script>hit()</script>',
  '<img src=x onerror=hit()>',
  '<img src=/stolen?secret>',
  '![secret](/stolen?secret)',
  '![x" onerror="hit()](/stolen "y" onerror="hit())',
  '<svg onload=hit()><animate onbegin=hit() attributeName=x dur=1s></svg>',
  '<iframe srcdoc="<script>parent.hit()</script>"></iframe>',
  '<iframe src="javascript:parent.hit()"></iframe>',
  '[click](javascript:hit())',
  '[click](JaVaScRiPt&colon;hit())',
  '[click](data:text/html,<script>opener.hit()</script>)',
  '<a href="javascript:hit()" onclick="hit()">click</a>',
  '<form action="/stolen"><button>press</button></form>',
  '<style>body { display: none }</style>',
  '<link rel=stylesheet href=/stolen>',
  '<base href="https://evil.example/">',
  '<meta http-equiv=refresh content="0;url=/stolen">',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=hit()&gt;">',
  '<svg></p><style><a id="</style><img src=1 onerror=hit()>">',
  '<noscript><p title="</noscript><img src=x onerror=hit()>">',
  '`<img src=x onerror=hit()>`',
  '```html"><img src=x onerror=hit()>\n</code></pre><img src=x onerror=hit()>\n```',
  '| a |\n|---|\n| <img src=x onerror=hit()> |',
  '# <img src=x onerror=hit()>',
  '<input name=getElementById><form id=config>',
  '<http://x"onmouseover=hit()>',
  '[x]: javascript:hit()\n\n[x]'
]

/** What of HTML may never be in a conversation. */
const FORBIDDEN = 'script, img, svg, math, iframe, form, style, link, base, meta, object, embed, input, [onerror], [onload], [onclick], [style], [id]'

await t.test('HTML in an answer is text, wherever it is', async (t) => {
  const { app, url, scripts } = await host(t)
  const hostile = '"><img src=x onerror=hit()><script>hit()</script>'
  scripts.set('attack', [
    { type: 'event', name: 'reasoning', data: hostile },
    { type: 'event', name: hostile, data: { [hostile]: hostile } },
    { type: 'event', name: 'tool-input', data: { toolName: hostile, input: hostile } },
    ...ATTACKS.map((content) => ({ type: 'message' as const, content })),
    ...ATTACKS.flatMap((text) => [text.slice(0, 7), text.slice(7), '\n\n'])
  ])
  const { page, complaints } = await visit(t, browser, `${url}?sessionId=${encodeURIComponent(hostile)}`)
  await page.exposeFunction('hit', () => { t.fail('a script of an answer was run') })
  const asked: string[] = []
  page.on('request', (request) => { if (!request.url().startsWith(url)) asked.push(request.url()) })
  const { ask, device, turn } = deviceOf(page)
  await device.getByText('Frames:').click()
  await app.channel.startTurn({ owner: 'anonymous', sessionId: hostile, message: hostile })
  await ended(turn(hostile))
  await ask('attack')
  await ended(turn('attack'))
  await app.channel.publish({ owner: 'anonymous', sessionId: hostile }, hostile, hostile)
  await device.getByText('Event outside a turn: ">').waitFor()

  const conversation = device.getByRole('region', { name: 'Conversation' })
  t.equal(await conversation.locator(FORBIDDEN).count(), 0)
  for (const address of await Promise.all((await conversation.locator('a').all()).map(async (link) => await link.getAttribute('href') ?? ''))) {
    t.match(address, /^(?:https?:\/\/|$)/, 'links lead to pages')
  }
  t.equal(await turn('attack').getByText('<script>hit()</script>', { exact: true }).count(), 2, 'it is shown')
  t.match(await textOf(turn('attack')), ATTACKS[0])

  await page.reload()
  await turn('attack').getByText('From the history').waitFor()
  t.equal(await conversation.locator(FORBIDDEN).count(), 0)
  t.strictSame(asked, [], 'nothing else is loaded')
  t.strictSame(complaints, [], 'the policy has nothing to forbid: nothing gets so far')
})

await t.test('HTML in the names of agents, in errors and in what the server says of them is text', async (t) => {
  const hostile = '<img src=x onerror=hit()>'
  const { url } = await host(t, {
    agentExecutor: { [hostile]: { execute: () => 'fine', description: hostile } },
    before: (app) => {
      app.addHook('onRequest', async (request, reply) => {
        if (!request.url.includes('/playground') && request.headers.authorization === undefined) await reply.code(403).send({ message: hostile })
      })
    }
  })
  const { page } = await visit(t, browser, url)
  const { ask, device, turn } = deviceOf(page)
  await device.getByRole('alert').getByText(`The server answers 403: ${hostile}`).waitFor()
  await page.getByLabel('Token').fill('x')
  await page.getByRole('button', { name: 'Connect' }).click()
  t.equal(await page.getByRole('combobox', { name: 'Agent' }).inputValue(), hostile)
  await ask('hi')
  await ended(turn('hi'))
  t.equal(await turn('hi').getByRole('heading', { name: hostile }).count(), 1)
  t.equal(await page.locator('img').count(), 0)
})

await t.test('were something overlooked, the policy would stop it', async (t) => {
  const { url } = await host(t)
  const { page, complaints } = await visit(t, browser, url)
  await page.exposeFunction('hit', () => { t.fail('it was run') })
  const tries = [
    'document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=hit()>")',
    'document.body.setAttribute("onclick", "hit()"), document.body.click()',
    'document.head.append(Object.assign(document.createElement("script"), { text: "hit()" }))',
    'setTimeout("hit()")'
  ]
  for (const attempt of tries) await page.evaluate(`(() => { try { ${attempt} } catch {} })()`)
  await deviceOf(page).state('connected')
  t.ok(complaints.length >= tries.length)
  t.ok(complaints.every((text) => /Content Security Policy|TrustedHTML|TrustedScript/.test(text)), complaints.join('\n'))
})

await t.test('Markdown is what it is for', async (t) => {
  const { url, scripts } = await host(t)
  scripts.set('all', [[
    '# One', '## Two', 'A *b* **c** ~~d~~ `e`, [page](https://example.com/a?b=c&d="e" "Title"), <https://example.com>, mail@example.com.', '1. x\n2. y\n   - z', '7) seven',
    '- [x] done\n- [ ] not', '> quoted', '| h | i |\n|:--|--:|\n| 1 | 2 |', '```js\nif (1 < 2) go("&amp;")\n```', '---', '![a picture](https://example.com/p.png)', 'a < b && c > d'
  ].join('\n\n')])
  const { page, complaints } = await visit(t, browser, url)
  const { ask, turn } = deviceOf(page)
  await ask('all')
  await ended(turn('all'))
  const text = turn('all').locator('.text')
  t.equal((await text.innerHTML()).replace(/>\n+</g, '><').trim(), [
    '<h4>One</h4><h5>Two</h5>',
    '<p>A <em>b</em> <strong>c</strong> <del>d</del> <code>e</code>, <a href="https://example.com/a?b=c&amp;d=%22e%22" title="Title" target="_blank" ' +
    'rel="noopener noreferrer nofollow">page</a>, <a href="https://example.com" target="_blank" rel="noopener noreferrer nofollow">https://example.com</a>, ' +
    '<a href="mailto:mail@example.com" target="_blank" rel="noopener noreferrer nofollow">mail@example.com</a>.</p>',
    '<ol><li>x</li><li>y<ul><li>z</li></ul></li></ol><ol start="7"><li>seven</li></ol><ul><li>☑ done</li><li>☐ not</li></ul><blockquote><p>quoted</p></blockquote>',
    '<div class="wide" tabindex="0"><table><thead><tr><th align="left">h</th><th align="right">i</th></tr></thead>',
    '<tbody><tr><td align="left">1</td><td align="right">2</td></tr></tbody></table></div>',
    '<pre tabindex="0"><code>if (1 &lt; 2) go("&amp;amp;")\n</code></pre><hr>',
    '<p><a href="https://example.com/p.png" target="_blank" rel="noopener noreferrer nofollow">a picture</a></p><p>a &lt; b &amp;&amp; c &gt; d</p>'
  ].join(''))
  t.strictSame(complaints, [])
})
