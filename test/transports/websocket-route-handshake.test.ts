import { once } from 'node:events'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import websocket from '@fastify/websocket'
import t from 'tap'

import { Admission } from '../../lib/transports/admission.js'
import { deferred } from '../helpers/deferred.js'
import { close, closed, echo, EchoHandlers, everythingFrom, HANDSHAKE, listen, open, refused, requestText } from './echo-channel.js'
import { channel, responseOn } from './route-host.js'

t.test('a message that comes with the handshake is not lost', async (t) => {
  const gate = deferred()
  const handlers = new class extends EchoHandlers {
    override async admit (): Promise<number> {
      await gate.promise
      return 1
    }
  }()
  const { app } = await channel({ handlers })
  const port = await listen(t, app)
  const socket = connect(port, '127.0.0.1')
  const frame = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69, 0x88, 0x80, 0, 0, 0, 0])
  socket.write(Buffer.concat([Buffer.from(requestText('GET /ws', HANDSHAKE)), frame]))
  const answer = everythingFrom(socket)
  gate.resolve()
  t.ok((await answer).includes('\r\n\r\n\x81\x02hi\x88'))
})

t.test('an admitted peer that comes to nothing is released, once', async (t) => {
  t.test('when its handshake is bad', async (t) => {
    const handlers = new EchoHandlers()
    const { app } = await channel({ handlers })
    const port = await listen(t, app)
    t.match(await refused(port, '/ws', { 'sec-websocket-key': 'bad' }), /^HTTP\/1\.1 400 /)
    await app.close()
    t.strictSame([handlers.admitted, handlers.released, handlers.accepted], [1, [1], []])
  })

  t.test('when the client goes away while it is being admitted', async (t) => {
    const asked = deferred()
    const gate = deferred()
    const released = deferred<number>()
    const handlers = new class extends EchoHandlers {
      override async admit (): Promise<number> {
        asked.resolve()
        await gate.promise
        return await super.admit()
      }

      override release (peer: number): void {
        super.release(peer)
        released.resolve(peer)
      }
    }()
    const { app } = await channel({ handlers })
    const port = await listen(t, app)
    const gone = deferred()
    app.server.on('connection', (socket) => { socket.once('close', () => { gone.resolve() }) })
    const socket = connect(port, '127.0.0.1')
    socket.write(requestText('GET /ws', HANDSHAKE))
    await asked.promise
    socket.resetAndDestroy()
    await gone.promise
    gate.resolve()
    t.equal(await released.promise, 1)
    await app.close()
    t.strictSame([handlers.released, handlers.accepted], [[1], []])
  })

  t.test('when the client goes away between admission and handshake', async (t) => {
    const released: number[] = []
    const socket = new PassThrough()
    Admission.start(1, responseOn(socket), (peer) => { released.push(peer) })
    socket.destroy()
    await once(socket, 'close')
    t.strictSame(released, [1])
    t.equal(Admission.start(2, responseOn(null), (peer) => { released.push(peer) }), undefined)
    t.strictSame(released, [1, 2])
  })

  t.test('when accepting it fails: the socket is closed 1011, and the error logged', async (t) => {
    const handlers = new class extends EchoHandlers {
      override accept (...args: Parameters<EchoHandlers['accept']>): void {
        super.accept(...args)
        const [socket] = args
        socket.removeAllListeners('error')
        throw new Error('accept failed')
      }
    }()
    const { app, log } = await channel({ handlers })
    const port = await listen(t, app)
    const client = await open(port)
    t.strictSame(await closed(client), [1011, 'the server failed'])
    t.match(log.find(({ level }) => level === 50), { err: { message: 'accept failed' } })
    handlers.accepted[0]?.socket.emit('error', new Error('late'))
    t.match(log.at(-1), { level: 30, err: { message: 'late' } })
    t.strictSame(handlers.released, [1])
  })

  t.test('and one that was accepted is not', async (t) => {
    const handlers = new EchoHandlers()
    const { app } = await channel({ handlers })
    const port = await listen(t, app)
    await close(await open(port))
    await app.close()
    t.strictSame(handlers.released, [])
  })
})

t.test('an accepted socket keeps neither request nor reply', async (t) => {
  setFlagsFromString('--expose_gc')
  // The flag makes it a global of every new context.
  const collect = runInNewContext('gc') as () => void
  for (const isHosted of [false, true]) {
    const held: Array<WeakRef<object>> = []
    const handlers = new EchoHandlers()
    const { app } = await channel({
      handlers,
      server: { connectionTimeout: 60_000 },
      before: async (app) => {
        if (isHosted) await app.register(websocket, { options: { maxPayload: 1000 } })
        app.addHook('onTimeout', async () => {})
        app.addHook('onRequest', async (request, reply) => {
          held.push(new WeakRef(request), new WeakRef(request.raw), new WeakRef(reply), new WeakRef(reply.raw))
        })
      }
    })
    const port = await listen(t, app)
    const client = await open(port)
    t.equal(await echo(client, 'hi'), 'hi')
    // A plain request, so that what Node reuses no longer points to the last upgrade.
    await app.inject('/ws')
    await new Promise((resolve) => setImmediate(resolve))
    collect()
    t.strictSame(held.slice(0, 4).map((ref) => ref.deref() === undefined), [true, true, true, true], isHosted ? 'hosted' : 'private')
    t.equal(await echo(client, 'hi'), 'hi')
    t.equal(handlers.accepted[0]?.socket.listenerCount('error'), 1)
    await close(client)
  }
})
