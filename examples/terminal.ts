// npx tsx examples/terminal.ts tea
//
// A chat in the terminal, in the session `tea`: a line is a question, Ctrl-C stops the answer, a second one ends it all.
// What is asked in that session on other devices is shown too. CHANNEL_URL and CHANNEL_TOKEN: where, and as whom.
import { createInterface } from 'node:readline'

import { WebSocket } from 'ws'

import { createChannelClient, type ClientTurn } from '../lib/client/index.js'

const { CHANNEL_URL: url = 'ws://localhost:9527/api/v1/ws', CHANNEL_TOKEN: token } = process.env
const [sessionId = 'terminal'] = process.argv.slice(2)
const client = createChannelClient({ url, token, sessionId, WebSocket })
const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: '> ', terminal: process.stdin.isTTY })
const own = new Set<string>()
/** Answers are shown one after another, in the order of the questions. */
let shown = Promise.resolve()
let running: ClientTurn | undefined

client.on('state', (state) => { if (state === 'reconnecting') note('(the connection is lost: on its way back)') })
client.on('error', (error) => { fail(error) })
lines.on('SIGINT', () => { if (running === undefined) lines.close(); else void running.cancel() })
lines.on('line', (line) => { if (line.trim() !== '') ask(line) })
lines.on('close', () => { void shown.then(() => { client.close() }) })
prompt()
await watch()

function ask (message: string): void {
  const turn = client.chat({ message })
  own.add(turn.id)
  shown = shown.then(async () => {
    running = turn
    await show(turn)
    running = undefined
    prompt()
  })
}

async function watch (): Promise<void> {
  const subscription = client.subscribe()
  try {
    for await (const news of subscription) {
      if (news.type === 'gap') note('(something was missed: the history has it)')
      if (news.type === 'event') note(`[${news.event.name}] ${JSON.stringify(news.event.data)}`)
      if (news.type !== 'turn' || own.has(news.turn.id)) continue
      console.log(`\n(elsewhere) ${news.turn.message}`)
      await show(news.turn)
      prompt()
    }
  } catch (error) { fail(error) }
}

async function show (turn: ClientTurn): Promise<void> {
  try {
    for await (const event of turn.events) {
      if (event.type === 'text' || event.type === 'message') process.stdout.write(event.content)
      else if (event.type === 'event' && event.name !== 'turn-started') note(`[${event.name}] ${JSON.stringify(event.data)}`)
    }
    const { finishReason } = await turn.finished
    console.log(finishReason === 'aborted' ? ' (stopped)' : '')
  } catch (error) { note(`\n${String(error)}`) }
}

function prompt (): void { if (process.stdin.isTTY) lines.prompt() }

function note (text: string): void { console.error(text) }

function fail (error: unknown): void {
  note(String(error))
  process.exit(1)
}
