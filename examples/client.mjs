// node examples/client.mjs "你好"
//
// Without a question it reads them line by line. CHANNEL_URL, CHANNEL_TOKEN and CHANNEL_AGENT: where, as whom, with whom.
import { createInterface } from 'node:readline/promises'

import WebSocket from 'ws'

const url = process.env.CHANNEL_URL ?? 'ws://localhost:9527/api/v1/ws'
const token = process.env.CHANNEL_TOKEN
const agentId = process.env.CHANNEL_AGENT ?? 'main'
const question = process.argv.slice(2).join(' ')

try {
  const socket = await connect()
  if (question === '') await talk(socket)
  else await ask(socket, question)
  socket.close(1000)
} catch (error) {
  console.error(error.message)
  process.exit(1)
}

function connect () {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, token ? { headers: { authorization: `Bearer ${token}` } } : {})
    socket.once('open', () => resolve(socket))
    socket.once('unexpected-response', (_request, { statusCode, statusMessage }) => {
      reject(new Error(`The server refused the connection: ${statusCode} ${statusMessage}`))
    })
    // Stays: an 'error' event that nobody listens to ends the process with a stack.
    socket.on('error', (error) => reject(new Error(`Cannot connect to ${url}: ${error.message || error.code}`)))
  })
}

/** Resolves at the end of the answer, which is printed as it comes. */
function ask (socket, message) {
  return new Promise((resolve, reject) => {
    socket.on('message', onMessage)
    socket.on('close', onClose)
    socket.send(JSON.stringify({ type: 'chat', agentId, message }))

    function onMessage (data) {
      const frame = JSON.parse(data)
      const field = frame.details ? ` (${frame.details.path}: ${frame.details.rule})` : ''
      if (frame.type === 'error') return end(reject, new Error(`The agent did not answer: ${frame.code}: ${frame.message}${field}`))
      if (frame.type !== 'stream' && frame.type !== 'message') return
      process.stdout.write(frame.content)
      if (frame.done) end(resolve)
    }

    function onClose (code, reason) {
      end(reject, new Error(`The server closed the connection: ${code} ${reason}`))
    }

    function end (settle, value) {
      socket.off('message', onMessage)
      socket.off('close', onClose)
      process.stdout.write('\n')
      settle(value)
    }
  })
}

async function talk (socket) {
  const heartbeat = setInterval(() => socket.send(JSON.stringify({ type: 'ping' })), 30_000)
  const lines = createInterface({ input: process.stdin, output: process.stdout, terminal: process.stdin.isTTY })
  const prompt = () => { if (process.stdin.isTTY) lines.prompt() }
  let closed
  socket.once('close', (code, reason) => {
    closed = new Error(`The server closed the connection: ${code} ${reason}`)
    lines.close()
  })
  prompt()
  for await (const line of lines) {
    if (line.trim() !== '') await ask(socket, line)
    prompt()
  }
  clearInterval(heartbeat)
  if (closed) throw closed
}
