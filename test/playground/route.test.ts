import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

import fastifyHelmet from '@fastify/helmet'
import fastifySwagger from '@fastify/swagger'
import Fastify, { type FastifyInstance } from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import t, { type Test } from 'tap'

import { channelPlayground, wsChannel, type ChannelPlaygroundOptions } from '../../lib/index.js'
import { policyOf } from '../../lib/playground/content-policy.js'
import { readPageFiles } from '../../lib/playground/page-files.js'

const PAGE = '/api/v1/ws/playground'

t.test('the page is whole, and runs no script but its own', async (t) => {
  const app = appOf(t)
  app.register(wsChannel)
  app.register(channelPlayground)
  const [first, second] = [await app.inject(PAGE), await app.inject(PAGE)]
  t.equal(first.statusCode, 200)
  t.match(first.headers, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff'
  })
  t.not(nonceOf(first), nonceOf(second))
  t.strictSame(first.body.match(/<(?:script|style)\b[^>]*>/g), [
    `<style nonce="${nonceOf(first)}">`,
    '<script type="application/json" id="config">',
    `<script type="module" nonce="${nonceOf(first)}">`
  ])
  t.strictSame(first.body.match(/<\/(?:script|style)>/g), ['</style>', '</script>', '</script>'])
  t.notMatch(first.body, /<!--|<link[^>]*href="(?!data:,")|<[^>]* on\w+=/i)
  t.match(first.body, /<noscript>.+JavaScript/)
  t.match(first.body, /DOMPurify.+license/i, 'and says whose work is in it')
})

t.test('its policy names the sockets of its own server, and no other source', (t) => {
  t.equal(policyOf('bm9uY2U=', 'tea.example:8443'), [
    "default-src 'none'", "script-src 'nonce-bm9uY2U='", "style-src 'nonce-bm9uY2U='",
    "connect-src 'self' ws://tea.example:8443 wss://tea.example:8443", 'img-src data:', "base-uri 'none'", "form-action 'none'",
    "frame-ancestors 'none'", "require-trusted-types-for 'script'", 'trusted-types dompurify'
  ].join('; '))
  t.match(policyOf('bm9uY2U=', '[::1]:9527'), / ws:\/\/\[::1\]:9527 /)
  for (const host of ['tea.example; script-src *', 'tea.example *', '', '*']) t.match(policyOf('bm9uY2U=', host), /; connect-src 'self'; /, host)
  t.end()
})

t.test('beside a host\'s own policy for all its responses, the page has its own', async (t) => {
  const app = appOf(t)
  await app.register(fastifyHelmet, { enableCSPNonces: true })
  app.register(wsChannel)
  app.register(channelPlayground)
  app.get('/other', async () => 'other')
  const page = await app.inject(PAGE)
  t.match(page.headers['content-security-policy'], /^default-src 'none'; script-src 'nonce-[^']+'; /)
  t.match(page.body, `<script type="module" nonce="${nonceOf(page)}">`)
  t.equal(page.headers['x-dns-prefetch-control'], 'off')
  t.match((await app.inject('/other')).headers['content-security-policy'], /^default-src 'self'/)
})

t.test('the page is beside the channel, and knows the way there', async (t) => {
  const cases: Array<[url: string, channel: string, register: (app: FastifyInstance) => void]> = [
    ['/api/v1/ws/playground', '../ws', (app) => {
      app.register(wsChannel)
      app.register(channelPlayground)
    }],
    ['/v2/ws/playground', '../ws', (app) => {
      app.register(async (scope) => {
        scope.register(channelPlayground)
        scope.register(wsChannel)
      }, { prefix: '/v2' })
    }],
    ['/agents/tea/playground', '../tea', (app) => {
      app.register(wsChannel, { prefix: '/agents', path: '/tea' })
      app.register(channelPlayground, { prefix: '/agents', path: '/tea/playground' })
    }],
    ['/tools/playground', '../v2/ws', (app) => {
      app.register(async (scope) => { scope.register(wsChannel) }, { prefix: '/v2' })
      app.register(channelPlayground, { prefix: '/tools', path: '/playground', channel: '/v2/ws' })
    }]
  ]
  for (const [url, channel, register] of cases) {
    const app = appOf(t)
    register(app)
    const page = await app.inject(url)
    t.equal(page.statusCode, 200, url)
    t.strictSame(configOf(page.body), { channel, agents: [] })
  }
})

t.test('the page knows the agents', async (t) => {
  const agentExecutor = { main: () => 'yes', tea: { execute: () => 'tea', description: 'Knows tea </script><script>' }, plain: { execute: () => '' } }
  const known = [{ id: 'main' }, { id: 'tea', description: 'Knows tea </script><script>' }, { id: 'plain' }]

  t.test('of a record, by option or decorator', async (t) => {
    const byOption = appOf(t)
    byOption.register(wsChannel, { agentExecutor })
    byOption.register(channelPlayground)
    t.strictSame(configOf((await byOption.inject(PAGE)).body), { channel: '../ws', agents: known })

    const byDecorator = appOf(t)
    byDecorator.decorate('agentExecutor', agentExecutor)
    byDecorator.register(wsChannel)
    byDecorator.register(channelPlayground)
    t.strictSame(configOf((await byDecorator.inject(PAGE)).body), { channel: '../ws', agents: known })
  })

  t.test('that its option names', async (t) => {
    const app = appOf(t)
    app.register(wsChannel, { agentExecutor })
    app.register(channelPlayground, { agents: ['tea', 'coffee'] })
    t.strictSame(configOf((await app.inject(PAGE)).body), { channel: '../ws', agents: [{ id: 'tea' }, { id: 'coffee' }] })
  })

  t.test('but not those of a scope that it is not in', async (t) => {
    const app = appOf(t)
    app.register(async (api) => {
      api.addHook('onRequest', async (_request, reply) => await reply.code(401).send('no'))
      api.register(wsChannel, { agentExecutor })
    }, { prefix: '/api/v1' })
    app.register(channelPlayground)
    const page = await app.inject(PAGE)
    t.equal(page.statusCode, 200)
    t.strictSame(configOf(page.body), { channel: '../ws', agents: [] })
    t.equal((await app.inject('/api/v1/ws')).statusCode, 401)
  })
})

t.test('the hooks of its scope guard it, and those of its own route', async (t) => {
  const app = appOf(t)
  app.register(async (api) => {
    api.addHook('onRequest', async (request, reply) => { if (request.headers.authorization === undefined) await reply.code(401).send('no') })
    api.register(wsChannel)
    api.register(channelPlayground, {
      routeOptions: { preHandler: async (request, reply) => { if (request.headers.authorization !== 'me') await reply.code(403).send('not you') } }
    })
  }, { prefix: '/api/v1' })
  t.equal((await app.inject(PAGE)).statusCode, 401)
  t.equal((await app.inject({ url: PAGE, headers: { authorization: 'you' } })).statusCode, 403)
  t.equal((await app.inject({ url: PAGE, headers: { authorization: 'me' } })).statusCode, 200)
})

t.test('pages of other origins do not get it, unless they are listed', async (t) => {
  const statusFor = async (origin: string, options: ChannelPlaygroundOptions, host = '127.0.0.1:9527') => {
    const app = appOf(t)
    app.register(wsChannel)
    app.register(channelPlayground, options)
    return (await app.inject({ url: PAGE, headers: { origin, host } })).statusCode
  }
  t.equal(await statusFor('https://evil.example', {}), 403)
  t.equal(await statusFor('http://127.0.0.1:9527', {}), 200)
  t.equal(await statusFor('https://friend.example', { origin: 'https://friend.example' }), 200)
  t.equal(await statusFor('http://tea.test', {}, 'tea.test'), 403)
  t.equal(await statusFor('http://tea.test', { allowedHosts: ['tea.test'] }, 'tea.test'), 200)
})

t.test('documents do not show it, and schemas of another kind are no hindrance', async (t) => {
  const app = appOf(t)
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  await app.register(fastifySwagger, { openapi: {}, transform: jsonSchemaTransform })
  app.register(wsChannel)
  app.register(channelPlayground)
  t.equal((await app.inject(PAGE)).statusCode, 200)
  t.ok(Object.keys(app.swagger().paths ?? {}).includes('/api/v1/ws'))
  t.notOk(Object.keys(app.swagger().paths ?? {}).some((path) => path.includes('playground')))
})

t.test('what cannot work is said at start', async (t) => {
  const cases: Array<[options: object, message: RegExp]> = [
    [{ titel: 'x' }, /^The option `titel` of the channel: no such option of channelPlayground; there are prefix, path, channel, agents, /],
    [{ path: 'playground' }, /`path`.*expected a string that starts with \//],
    [{ channel: 'ws://tea.example/ws' }, /`channel`.*expected a string that starts with \//],
    [{ agents: 'main' }, /`agents`.*expected an array of strings/],
    [{ agents: [1] }, /`agents`.*expected an array of strings/],
    [{ allowedHosts: 'tea.test' }, /`allowedHosts`.*expected an array of strings/],
    [{ origin: 'tea.example' }, /`origin`.*is no origin as a browser sends it/],
    [{ routeOptions: { url: '/' } }, /`routeOptions.url` cannot be set/]
  ]
  for (const [options, message] of cases) {
    const app = appOf(t)
    app.register(wsChannel)
    app.register(channelPlayground, options)
    await t.rejects(async () => { await app.ready() }, { message })
  }
  const alone = appOf(t)
  alone.register(channelPlayground, { channel: '/v2/ws' })
  await t.rejects(async () => { await alone.ready() }, {
    code: 'FST_WS_CHANNEL_PLAYGROUND', message: /^The playground at \/api\/v1\/ws\/playground finds no channel at \/v2\/ws: /
  })
})

t.test('a channel with constraints is found by the same constraints', async (t) => {
  const app = appOf(t)
  const routeOptions = { constraints: { host: 'tea.test' } }
  app.register(wsChannel, { routeOptions })
  app.register(channelPlayground, { routeOptions })
  t.equal((await app.inject({ url: PAGE, headers: { host: 'tea.test' } })).statusCode, 200)
  t.equal((await app.inject(PAGE)).statusCode, 404)
})

t.test('whoever does not register it has no page', async (t) => {
  const app = appOf(t)
  app.register(wsChannel)
  t.equal((await app.inject(PAGE)).statusCode, 404)
})

t.test('the package has the page that the sources make', async (t) => {
  const bundler = '../../.ci/page-bundle.mjs'
  // Typed by what it is for: there are no types of it.
  const { writePage } = await import(bundler) as { writePage: (folder: string) => Promise<void> }
  const folder = mkdtempSync(join(t.testdir(), 'dist-'))
  await writePage(folder)
  const built = await readPageFiles(pathToFileURL(`${folder}/`))
  t.strictSame(built, await readPageFiles())
  rmSync(join(folder, 'playground-page.css'))
  await t.rejects(readPageFiles(pathToFileURL(`${folder}/`)), { code: 'ENOENT' }, 'a half of it is none')
})

function appOf (t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  return app
}

function nonceOf ({ headers }: { headers: Record<string, unknown> }): string | undefined {
  return /script-src 'nonce-([^']+)'/.exec(String(headers['content-security-policy']))?.[1]
}

function configOf (page: string): unknown {
  return JSON.parse(/<script type="application\/json" id="config">(.*?)<\/script>/.exec(page)?.[1] ?? '')
}
