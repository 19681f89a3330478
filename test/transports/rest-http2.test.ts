import { connect, type ClientHttp2Session } from 'node:http2'

import Fastify from 'fastify'
import t from 'tap'

import { channelRest, wsChannel } from '../../lib/index.js'
import { eventually } from '../helpers/eventually.js'
import { certificate, privateKey } from './certificate.js'

/** A request over HTTP/2: its status, and its body as far as it has come. */
function ask (session: ClientHttp2Session, path: string, body?: object, accept = 'application/json') {
  const method = body === undefined ? {} : { ':method': 'POST', 'content-type': 'application/json' }
  const stream = session.request({ ':path': `/api/v1${path}`, accept, ...method })
  const answer = { stream, status: 0, text: '', isEnded: false }
  stream.setEncoding('utf8')
  stream.on('response', (headers) => { answer.status = headers[':status'] ?? 0 })
  stream.on('data', (chunk: string) => { answer.text += chunk })
  stream.on('close', () => { answer.isEnded = true })
  stream.end(body === undefined ? undefined : JSON.stringify(body))
  return answer
}

t.test('the routes work over HTTP/2 too, and let go when the server is closed', async (t) => {
  const app = Fastify({ http2: true, https: { allowHTTP1: true, cert: certificate, key: privateKey } })
  app.register(wsChannel, { agentExecutor: () => ['a', 'b'], drainTimeoutMs: 60_000 })
  app.register(channelRest)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(app.listeningOrigin, { rejectUnauthorized: false })
  t.teardown(() => { session.destroy() })

  const json = ask(session, '/agents/main/chat', { message: 'x' })
  await eventually(() => json.isEnded)
  t.match([json.status, JSON.parse(json.text)], [200, { content: 'ab' }])
  const events = ask(session, '/agents/main/chat', { message: 'x', id: 'a', sessionId: 's' }, 'text/event-stream')
  await eventually(() => events.isEnded)
  t.match([events.status, events.text.split('\n\n').length], [200, 6])
  const refused = ask(session, '/agents/main/sessions/s/cancel', {})
  await eventually(() => refused.isEnded)
  t.equal(refused.status, 404)

  const gone = ask(session, '/agents/main/sessions/s/events', undefined, 'text/event-stream')
  await eventually(() => gone.text !== '')
  t.equal(app.channel.stats().followers, 1)
  gone.stream.close()
  await eventually(() => app.channel.stats().followers === 0)

  const follower = ask(session, '/agents/main/sessions/s/events', undefined, 'text/event-stream')
  await eventually(() => follower.text !== '')
  const drained = app.channel.drain()
  await eventually(() => follower.isEnded)
  t.match(follower.text, /"type":"reconnect"/)
  await drained
  const late = ask(session, '/agents/main/chat', { message: 'x' })
  await eventually(() => late.isEnded)
  t.match([late.status, JSON.parse(late.text)], [503, { code: 'SHUTTING_DOWN' }])
  session.close()
  await app.close()
})
