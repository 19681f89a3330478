import { spawn } from 'node:child_process'
import { once } from 'node:events'

import t from 'tap'

import { memoryJournal, type Executor } from '../../lib/index.js'
import type { ChannelClient, Frame } from '../helpers/channel-client.js'
import { eventOf, type EventReader, type SseEvent } from '../helpers/http-client.js'
import { serveRest, type RestHost } from './rest-host.js'
import { Stage } from './stage.js'

const PIECES = Array.from({ length: 40 }, (_, i) => `${i} 你好 😀; `)
const TEXT = PIECES.join('')
const CHAT = { id: 'a', sessionId: 's', message: 'x' }

/** The text of one turn, from frames of which some may come after what replaces them. */
function textOf (frames: Frame[]): string {
  let text = ''
  for (const frame of frames) {
    const turns = (frame['turns'] ?? []) as Array<{ content?: string }>
    if (frame['recovered'] === false) text = turns[0]?.content ?? ''
    if (frame.type === 'stream') text += String(frame['content'])
  }
  return text
}

/** Reads until there are so many frames of text, or the turn has ended. */
async function readPieces (next: () => Promise<Frame>, count: number): Promise<Frame[]> {
  const frames: Frame[] = []
  for (let pieces = 0; pieces < count;) {
    const frame = await next()
    frames.push(frame)
    if (frame.type === 'stream') pieces++
    if (frame['done'] === true) break
  }
  return frames
}

async function restOf (reader: EventReader): Promise<Frame[]> {
  const frames = await readPieces(() => reader.frame(), Infinity)
  await reader.destroy()
  return frames
}

/** Has the answer given; says in which epoch. */
async function epochOfAnswer (host: RestHost): Promise<string> {
  const events = await (await host.tell(CHAT)).rest()
  return String(events[0]?.frame['epoch'])
}

t.test('an answer that was cut anywhere, and is resumed by the id of the last event, is exact', async (t) => {
  const host = await serveRest(t, { agentExecutor: () => PIECES })
  const epoch = await epochOfAnswer(host)
  const top = PIECES.length + 2
  for (let cut = 0; cut <= top; cut++) {
    const reader = await host.follow('s', { 'last-event-id': `${epoch}:${cut}` })
    const frames = [await reader.frame(), ...(cut === top ? [] : await readPieces(() => reader.frame(), Infinity))]
    t.match(frames[0], { type: 'subscribed', recovered: true, seq: cut })
    t.equal(PIECES.slice(0, Math.max(0, cut - 1)).join('') + textOf(frames), TEXT, `cut at ${cut}`)
    await reader.destroy()
  }
})

t.test('an answer that is cut while it is written, and resumed each time, is exact', async (t) => {
  for (let every = 1; every < PIECES.length; every += 3) {
    const stage = new Stage()
    const host = await serveRest(t, { agentExecutor: stage.executor })
    let said = 0
    const say = (): void => { if (said < PIECES.length) stage.act('x').say(PIECES[said++] ?? '') }
    say()
    let reader = await host.tell(CHAT)
    const events: SseEvent[] = []
    for (let pieces = 0; ;) {
      const event = await reader.next()
      if (event === undefined) break
      events.push(event)
      if (event.frame['done'] === true) break
      if (event.frame.type !== 'stream') continue
      say()
      if (++pieces === PIECES.length) stage.act('x').end()
      if (pieces % every !== 0) continue
      await reader.destroy()
      reader = await host.follow('s', { 'last-event-id': event.id ?? '' })
    }
    t.equal(textOf(events.map(({ frame }) => frame)), TEXT, `cut after every ${every} pieces`)
    t.strictSame(events.filter(({ frame }) => frame['recovered'] === false), [], 'nothing was lost')
    await reader.destroy()
  }
})

t.test('a turn of the socket that was cut is complete over server-sent events', async (t) => {
  for (let cut = 1; cut <= PIECES.length; cut += 5) {
    const stage = new Stage()
    const host = await serveRest(t, { agentExecutor: stage.executor })
    const client = await host.connect()
    client.send({ type: 'chat', ...CHAT })
    const { epoch } = await client.next('ack')
    await client.next('event')
    const before: Frame[] = []
    for (const piece of PIECES.slice(0, cut)) {
      stage.act('x').say(piece)
      before.push(await client.next('stream'))
    }
    await client.terminate()
    const reader = await host.follow('s', { 'last-event-id': `${epoch}:${String(before.at(-1)?.['seq'])}` })
    stage.act('x').say(...PIECES.slice(cut)).end()
    t.equal(textOf([...before, ...await restOf(reader)]), TEXT, `cut after ${cut} pieces`)
  }
})

t.test('a turn of a request that was cut is complete over the socket', async (t) => {
  for (let cut = 1; cut <= PIECES.length; cut += 5) {
    const stage = new Stage()
    const host = await serveRest(t, { agentExecutor: stage.executor })
    stage.act('x').say(...PIECES.slice(0, cut))
    const reader = await host.tell(CHAT)
    const before = await readPieces(() => reader.frame(), cut)
    await reader.destroy()
    const [epoch, seq] = [before[0]?.['epoch'], before.at(-1)?.['seq']]
    const client = await host.connect()
    client.send({ type: 'subscribe', sessionId: 's', epoch, after: seq })
    t.match(await client.next('subscribed'), { recovered: true, seq })
    stage.act('x').say(...PIECES.slice(cut)).end()
    t.equal(textOf([...before, ...await readAll(client)]), TEXT, `cut after ${cut} pieces`)
    await client.close()
  }
})

async function readAll (client: ChannelClient): Promise<Frame[]> {
  return await readPieces(() => client.next(), Infinity)
}

t.test('what the journal has forgotten meanwhile is told by its text', async (t) => {
  const stage = new Stage()
  const host = await serveRest(t, { agentExecutor: stage.executor, journal: memoryJournal({ maxEntries: 8 }) })
  stage.act('x').say('first ')
  const reader = await host.tell(CHAT)
  await readPieces(() => reader.frame(), 1)
  await reader.destroy()
  const { epoch } = await followed(host)
  for (let i = 0; i < 30; i++) {
    stage.act('x').say({ type: 'event', name: 'progress', data: i }, `${i} `)
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  const again = await host.follow('s', { 'last-event-id': `${epoch}:1` })
  t.match(await again.frame(), { type: 'subscribed', recovered: false, turns: [{ id: 'a', content: `first ${Array.from({ length: 30 }, (_, i) => `${i} `).join('')}` }] })
  stage.act('x').end()
  await restOf(again)
})

/** Where the session is. */
async function followed (host: RestHost): Promise<{ epoch: string }> {
  const reader = await host.follow('s')
  const { epoch } = await reader.frame()
  await reader.destroy()
  return { epoch: String(epoch) }
}

t.test('curl -N shows an answer as it is written; killed in the middle and started again with the last id, the parts join', async (t) => {
  const stage = new Stage()
  const host = await serveRest(t, { agentExecutor: stage.executor })
  stage.act('x').say(...PIECES.slice(0, 7))
  const chat = ['-H', 'accept: text/event-stream', '-H', 'content-type: application/json', '-d', JSON.stringify(CHAT)]
  const first = await curl([...chat, `${host.base}/agents/main/chat`], (events) => events.filter(({ frame }) => frame.type === 'stream').length === 7)
  stage.act('x').say(...PIECES.slice(7)).end()
  const lastId = first.at(-1)?.id ?? ''
  const second = await curl(['-H', `last-event-id: ${lastId}`, `${host.base}/agents/main/sessions/s/events`], isWhole)
  t.equal(textOf([...first, ...second].map(({ frame }) => frame)), TEXT)
})

t.test('wherever curl is cut', async (t) => {
  const agentExecutor: Executor = () => PIECES
  const host = await serveRest(t, { agentExecutor })
  const epoch = await epochOfAnswer(host)
  for (let cut = 1; cut < PIECES.length; cut += 6) {
    const head = await curl(['-H', `last-event-id: ${epoch}:0`, `${host.base}/agents/main/sessions/s/events`], (events) => events.length > cut)
    const kept = head.slice(0, cut + 1)
    const tail = await curl(['-H', `last-event-id: ${kept.at(-1)?.id ?? ''}`, `${host.base}/agents/main/sessions/s/events`], isWhole)
    t.equal(textOf([...kept, ...tail].map(({ frame }) => frame)), TEXT, `cut after ${cut} events`)
  }
})

const isWhole = (events: SseEvent[]): boolean => events.at(-1)?.frame['done'] === true

/** What `curl -N` has printed when it was killed: as soon as that is enough. */
async function curl (args: string[], isEnough: (events: SseEvent[]) => boolean): Promise<SseEvent[]> {
  const child = spawn('curl', ['-sN', '--max-time', '60', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  let events: SseEvent[] = []
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    events = text.split('\n\n').slice(0, -1).map(eventOf)
    if (isEnough(events)) child.kill('SIGKILL')
  })
  await once(child, 'close')
  return events
}
