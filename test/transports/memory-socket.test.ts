import { once } from 'node:events'

import t from 'tap'

import { MemorySocket } from '../../lib/transports/memory-socket.js'

t.test('what one end writes the other reads, in a later turn of the event loop', async (t) => {
  const [one, other] = MemorySocket.pair()
  const read = once(other, 'data')
  one.write('hello')
  t.equal(other.readableLength, 0)
  t.match(await read, [Buffer.from('hello')])
})

t.test('ending one end ends the other when it has read everything', async (t) => {
  const [one, other] = MemorySocket.pair()
  one.end('last')
  await once(one, 'finish')
  one.destroy()
  t.equal(other.destroyed, false)
  const chunks: unknown[] = []
  for await (const chunk of other) chunks.push(String(chunk))
  t.strictSame(chunks, ['last'])
})

t.test('destroying one end cuts the other off', async (t) => {
  const [one, other] = MemorySocket.pair()
  const cut = once(other, 'close')
  one.destroy()
  await cut
  t.equal(other.destroyed, true)
})

t.test('who writes waits until the other end reads', async (t) => {
  const [one, other] = MemorySocket.pair()
  const size = other.readableHighWaterMark
  let isWritten = false
  one.write(Buffer.alloc(size), () => { isWritten = true })
  await once(other, 'readable')
  t.equal(isWritten, false)
  const written = new Promise((resolve) => one.write('more', resolve))
  other.resume()
  await written
  t.equal(isWritten, true)
})

t.test('who writes to an end that is gone does not wait for it', async (t) => {
  const [one, other] = MemorySocket.pair()
  one.write(Buffer.alloc(other.readableHighWaterMark))
  await once(other, 'readable')
  other.end()
  await once(other, 'finish')
  const written = new Promise((resolve) => one.write('into the void', resolve))
  other.destroy()
  await written
  t.equal(one.destroyed, false)
})
