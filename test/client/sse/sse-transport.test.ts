import t from 'tap'

import { sseTransport, type SseTransportOptions } from '../../../lib/client/sse/index.js'
import { FakeHttp } from '../../helpers/fake-http.js'

/** The first request of a socket for a channel at an address. */
async function firstOf (url: string, options: SseTransportOptions = {}, protocols: string[] = []) {
  const server = new FakeHttp()
  const Transport = sseTransport({ fetch: server.fetch, ...options })
  const socket = new Transport(url, protocols)
  const { url: asked, headers } = await server.next()
  socket.close()
  return { asked, headers }
}

t.test('the routes are beside the channel, with what of its query is not the channel\'s own', async (t) => {
  t.equal((await firstOf('wss://x/api/v1/ws')).asked, 'https://x/api/v1/agents')
  t.equal((await firstOf('ws://x:81/ws?agentId=a&sessionId=s&tenant=7')).asked, 'http://x:81/agents?tenant=7')
})

t.test('or where they are said to be', async (t) => {
  t.equal((await firstOf('ws://x/ws', { url: 'https://y/rest' })).asked, 'https://y/rest/agents')
  t.equal((await firstOf('ws://x/a/ws', { url: '/b/' })).asked, 'http://x/b/agents')
})

t.test('a token among the subprotocols is sent as one', async (t) => {
  const { headers } = await firstOf('ws://x/ws', {}, ['agent-channel.v1', 'bearer', 'abc'])
  t.equal(headers['authorization'], 'Bearer abc')
  t.notOk('authorization' in (await firstOf('ws://x/ws')).headers)
})

t.test('asks as its surroundings do, with what they have when it is asked', async (t) => {
  const Transport = sseTransport()
  const server = new FakeHttp()
  t.intercept(globalThis, 'fetch', { value: server.fetch, configurable: true })
  const socket = new Transport('ws://x/ws', [])
  t.equal((await server.next()).url, 'http://x/agents')
  socket.close()
})
