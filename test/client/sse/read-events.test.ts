import t from 'tap'

import { readEvents } from '../../../lib/client/sse/read-events.js'

async function read (...pieces: Array<string | Uint8Array>): Promise<unknown[]> {
  const told: unknown[] = []
  const body = new ReadableStream<Uint8Array>({
    start (controller) {
      for (const piece of pieces) controller.enqueue(typeof piece === 'string' ? new TextEncoder().encode(piece) : piece)
      controller.close()
    }
  })
  await readEvents(body, {
    onData: (data) => { told.push(data) }, onComment: () => { told.push(null) }, onBytes: () => { told.push('bytes') }
  }, new AbortController().signal)
  return told
}

t.test('an event comes in any number of pieces', async (t) => {
  t.strictSame(await read('id:1\nda', 'ta:{"a":', '1}\n', '\nda'), ['bytes', 'bytes', 'bytes', 'bytes', '{"a":1}'])
})

t.test('several come in one, with whatever ends of lines', async (t) => {
  t.strictSame(await read('data:1\n\ndata:2\r\n\r', '\ndata:3\n\n'), ['bytes', '1', 'bytes', '2', '3'])
})

t.test('data has any number of lines', async (t) => {
  t.strictSame(await read('event:x\ndata:[1,\nid:7\ndata:2]\n\n'), ['bytes', '[1,\n2]'])
})

t.test('a comment is a sign of life', async (t) => {
  t.strictSame(await read(':\n\n: still here\n\n'), ['bytes', null, null])
})

t.test('a character is cut by no piece', async (t) => {
  const bytes = new TextEncoder().encode('data:"茶"\n\n')
  t.strictSame(await read(bytes.slice(0, 7), bytes.slice(7)), ['bytes', 'bytes', '"茶"'])
})

t.test('an event that does not end is none', async (t) => {
  t.strictSame(await read('data:1\n\ndata:2\n'), ['bytes', '1'])
})

t.test('an answer that breaks off is an error, and what is thrown at an event too', async (t) => {
  const broken = new ReadableStream<Uint8Array>({ start (controller) { controller.error(new Error('gone')) } })
  const tools = { onData: () => { throw new Error('no frame') }, onComment () {}, onBytes () {} }
  const { signal } = new AbortController()
  await t.rejects(readEvents(broken, tools, signal), { message: 'gone' })
  const body = new Response('data:x\n\n').body
  if (body === null) throw new Error('a response with text has a body')
  await t.rejects(readEvents(body, tools, signal), { message: 'no frame' })
})

// What used to happen: Node left the body of a fetch open that was aborted with its last bytes, and nobody noticed for as
// long as a server may be silent, in a process that could not end meanwhile.
t.test('aborted, it settles, whatever becomes of the answer', async (t) => {
  const tools = { onData: () => { controller.abort() }, onComment () {}, onBytes () {} }
  const controller = new AbortController()
  const open = new ReadableStream<Uint8Array>({ start (stream) { stream.enqueue(new TextEncoder().encode('data:1\n\n')) } })
  await readEvents(open, tools, controller.signal)
  await t.rejects(readEvents(new ReadableStream(), tools, controller.signal), { name: 'AbortError' })

  const breaking = new AbortController()
  let body: ReadableStreamDefaultController<Uint8Array> | undefined
  const read = readEvents(new ReadableStream({ start (stream) { body = stream } }), tools, breaking.signal)
  body?.error(new Error('gone'))
  breaking.abort()
  await t.rejects(read, { message: 'gone' })
})
