// node examples/resume.mjs tea "count to 100"
//
// Says something in the session `tea`, and prints the answer once and whole, however often the connection is lost
// meanwhile. CHANNEL_URL and CHANNEL_TOKEN: where, and as whom. A line that is typed is sent as a frame.
import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'

import WebSocket from 'ws'

const { CHANNEL_URL: url = 'ws://localhost:9527/api/v1/ws', CHANNEL_TOKEN: token } = process.env
const [sessionId, ...words] = process.argv.slice(2)
// Under one id it is said once, however often it is sent.
const chat = { type: 'chat', id: randomUUID(), sessionId, message: words.join(' ') }
const STAY_AWAY = [4400, 4401, 4403]
// With the time that connecting takes still less than the 5 minutes for which an id is known after its turn's end.
const PAUSES_MS = [0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]

let socket, journal, position
let text = ''
let failures = 0

createInterface({ input: process.stdin }).on('line', send)
connect()

function connect () {
  let lifeline
  const headers = token ? { authorization: `Bearer ${token}` } : {}
  socket = new WebSocket(url, ['agent-channel.v1'], { headers, handshakeTimeout: 10_000 })
  socket.on('ping', () => lifeline?.refresh())
  socket.on('message', (data) => {
    const frame = JSON.parse(data)
    // A socket whose other end is gone says nothing by itself: what has been silent for two pings is given up.
    if (frame.type === 'ready') lifeline = setTimeout(() => socket.terminate(), frame.heartbeatMs * 2)
    lifeline?.refresh()
    onFrame[frame.type]?.(frame)
    if (frame.seq !== undefined) position = { epoch: frame.epoch ?? position.epoch, after: frame.seq }
  })
  socket.on('unexpected-response', (_request, { statusCode }) => {
    if ([429, 503].includes(statusCode)) socket.terminate()
    else end(`the server refused the connection: ${statusCode}`)
  })
  socket.on('error', () => { /* 'close' comes too */ })
  socket.on('close', (code) => {
    clearTimeout(lifeline)
    if (STAY_AWAY.includes(code) || failures === PAUSES_MS.length) end(`the connection was lost: ${code}`)
    setTimeout(connect, PAUSES_MS[failures++])
  })
}

const onFrame = {
  ready (frame) {
    // A new journal knows no ids: what became of the chat only the history can tell.
    if (journal !== undefined && journal !== frame.journal) end('the server has forgotten what was said: OUTCOME_UNKNOWN')
    journal = frame.journal
    send(JSON.stringify({ type: 'subscribe', id: chat.id, sessionId, ...position }))
  },
  // What was missed follows, if it is still kept. A chat that is sent again is answered by how it stands.
  subscribed ({ recovered }) { failures = 0; if (!recovered || text === '') send(JSON.stringify(chat)) },
  ack ({ id, content = '' }) { if (id === chat.id) onFrame.stream({ id, content: content.slice(text.length) }) },
  stream ({ id, content, done }) { if (id === chat.id) text += content; onFrame.message({ id, content, done }) },
  message ({ id, content, done }) { if (id === chat.id) process.stdout.write(content); if (id === chat.id && done) end() },
  event ({ name, data }) { console.error(`[${name}] ${JSON.stringify(data)}`) },
  error ({ id, code, message, retryable, retryAfterMs, done }) {
    if (id !== chat.id) console.error(`${code}: ${message}`)
    else if (done || !retryable) end(`${code}: ${message}`)
    else setTimeout(send, retryAfterMs, JSON.stringify(chat))
  }
}

function send (line) { if (socket.readyState === WebSocket.OPEN) socket.send(line) }

function end (fault) {
  console.log()
  if (fault !== undefined) console.error(fault)
  process.exit(fault === undefined ? 0 : 1)
}
