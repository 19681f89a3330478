import t from 'tap'

import { isOriginAllowed, originFault, type OriginFunction, type OriginOption, type OriginRule } from '../../lib/transports/origin.js'

const LOCAL = { protocol: 'http', host: 'localhost:9527' }
const PUBLIC = { protocol: 'https', host: 'api.example.com' }
const PLAIN = { protocol: 'http', host: 'api.example.com:9527' }

t.test('a request without an Origin comes from no browser, and is allowed', async (t) => {
  t.equal(isOriginAllowed(undefined, PLAIN, {}), true)
})

t.test('a page of the server itself is allowed', async (t) => {
  t.equal(isOriginAllowed('https://api.example.com', PUBLIC, {}), true)
  t.equal(isOriginAllowed('https://api.example.com', { protocol: 'https', host: 'API.example.com:443' }, {}), true)
  t.equal(isOriginAllowed('http://localhost:9527', LOCAL, {}), true)
  t.equal(isOriginAllowed('http://192.168.1.7:9527', { protocol: 'http', host: '192.168.1.7:9527' }, {}), true)
  t.equal(isOriginAllowed('http://[fd00::7]:9527', { protocol: 'http', host: '[fd00::7]:9527' }, {}), true)
  t.equal(isOriginAllowed('http://192.168.1.7', { protocol: 'http', host: '192.168.1.7' }, {}), true)
})

t.test('another scheme, host or port is another origin', async (t) => {
  t.equal(isOriginAllowed('http://api.example.com', PUBLIC, {}), false)
  t.equal(isOriginAllowed('https://app.example.com', PUBLIC, {}), false)
  t.equal(isOriginAllowed('https://api.example.com:8443', PUBLIC, {}), false)
  t.equal(isOriginAllowed('https://api.example.com.evil.test', PUBLIC, {}), false)
  t.equal(isOriginAllowed('http://192.168.1.7:5173', { protocol: 'http', host: '192.168.1.7:9527' }, {}), false)
  t.equal(isOriginAllowed('https://localhost:9527', LOCAL, {}), false)
})

t.test('a loopback host may have another port: that is how a page is developed', async (t) => {
  t.equal(isOriginAllowed('http://localhost:5173', LOCAL, {}), true)
  t.equal(isOriginAllowed('http://127.0.0.1:5173', { protocol: 'http', host: '127.0.0.1:9527' }, {}), true)
  t.equal(isOriginAllowed('http://[::1]:5173', { protocol: 'http', host: '[::1]:9527' }, {}), true)
  t.equal(isOriginAllowed('http://127.evil.test:5173', { protocol: 'http', host: '127.evil.test:9527' }, {}), false)
})

t.test('a name over plain http is not believed unless it is listed, since it may have been rebound', async (t) => {
  const origin = 'http://api.example.com:9527'
  t.equal(isOriginAllowed(origin, PLAIN, {}), false)
  t.equal(isOriginAllowed(origin, PLAIN, { allowedHosts: ['other.example.com'] }), false)
  t.equal(isOriginAllowed(origin, PLAIN, { allowedHosts: ['API.example.com'] }), true)
  t.equal(isOriginAllowed(origin, PLAIN, { allowedHosts: ['api.example.com:9527'] }), true)
  t.equal(isOriginAllowed('http://evil.test', PLAIN, { allowedHosts: ['api.example.com'] }), false)
})

t.test('garbage is refused and throws nothing', async (t) => {
  for (const origin of ['null', '', 'http://', 'not a url', 'http://[', 'chrome-extension://abc', 'file://', '\0', 'http:// x']) {
    for (const reachedBy of [LOCAL, PUBLIC, { protocol: undefined, host: '' }, { protocol: 'http', host: '::' }]) {
      t.equal(isOriginAllowed(origin, reachedBy, {}), false, JSON.stringify(origin))
    }
  }
})

t.test('the option says which other pages are welcome, as it does for @fastify/cors', async (t) => {
  const allows = (origin: OriginOption): unknown => isOriginAllowed('https://app.example.com', PUBLIC, { origin })
  t.equal(allows(true), true)
  t.equal(allows(false), false)
  t.equal(allows('*'), true)
  t.equal(allows('https://app.example.com'), true)
  t.equal(allows('https://app.example.co'), false)
  t.equal(allows(/\.example\.com$/), true)
  t.equal(allows(/\.example\.org$/), false)
  t.equal(allows(['https://a.test', /^https:\/\/app\./]), true)
  t.equal(allows(['https://a.test', false]), false)
  t.equal(allows([]), false)
})

t.test('a global expression answers the same every time', async (t) => {
  const rule = { origin: /example/g }
  t.equal(isOriginAllowed('https://app.example.com', PUBLIC, rule), true)
  t.equal(isOriginAllowed('https://app.example.com', PUBLIC, rule), true)
})

t.test('the option only adds: the server itself stays allowed', async (t) => {
  t.equal(isOriginAllowed('https://api.example.com', PUBLIC, { origin: 'https://app.example.com' }), true)
  t.equal(isOriginAllowed('https://api.example.com', PUBLIC, { origin: false }), true)
})

t.test('`null` is allowed only where it is listed', async (t) => {
  for (const origin of [true, '*', /null/, ['*', true, /./]]) t.equal(isOriginAllowed('null', PUBLIC, { origin }), false)
  t.equal(isOriginAllowed('null', PUBLIC, { origin: 'null' }), true)
  t.equal(isOriginAllowed('null', PUBLIC, { origin: ['https://app.example.com', 'null'] }), true)
})

t.test('a function is asked, and answers by callback, by return or by promise', async (t) => {
  const ask = async (origin: OriginFunction): Promise<boolean> => isOriginAllowed('https://app.example.com', PUBLIC, { origin } satisfies OriginRule)
  t.equal(await ask((origin, callback) => { callback(null, origin.endsWith('.example.com')) }), true)
  t.equal(await ask((_origin, callback) => { callback(null) }), false)
  t.equal(await ask((origin) => origin), true)
  t.equal(await ask(async () => [/example/]), true)
  t.equal(await ask(async () => false), false)
})

t.test('a function that fails refuses with its error', async (t) => {
  const ask = async (origin: OriginFunction): Promise<boolean> => isOriginAllowed('https://app.example.com', PUBLIC, { origin })
  await t.rejects(ask((_origin, callback) => { callback(new Error('database is down')) }), { message: 'database is down' })
  await t.rejects(ask(() => { throw new Error('broken') }), { message: 'broken' })
  await t.rejects(ask(async () => { throw new Error('rejected') }), { message: 'rejected' })
})

// An object used to become the expression `/[object Object]/`, which let nearly every page in.
t.test('what is no origin, expression or boolean lets nobody in, and is said at start', async (t) => {
  const wrong: unknown[] = [{}, { origin: ['https://good.example'] }, [{}], new Set(['https://good.example']), 5, null, [5]]
  for (const origin of wrong) {
    t.equal(isOriginAllowed('https://evil.example', PUBLIC, { origin: origin as OriginOption }), false)
    t.match(originFault(origin), /expected a boolean, a string, a RegExp/)
  }
  for (const origin of ['https://good.example/', 'good.example', ['https://good.example', '']]) {
    t.match(originFault(origin), /is no origin as a browser sends it/)
  }
  const right: unknown[] = [undefined, true, false, '*', 'null', 'https://good.example:8443', 'chrome-extension://abc', /good/, [/a/, 'null'], () => true]
  for (const origin of right) t.equal(originFault(origin), undefined)
})
