import t from 'tap'

import { memoryJournal, type Executor } from '../../lib/index.js'
import type { Entry } from '../../lib/journal/journal.js'
import { CursorDouble, JournalDouble, withCursor } from '../faults/journal-double.js'
import { readableLog, type Host } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { refusalTo, type SseEvent } from '../helpers/http-client.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { end, failedEnd, piece, plainPiece, refused, running, subscribed, turnStarted } from './expected.js'
import { serveRest } from './rest-host.js'
import { Stage } from './stage.js'

const CHAT = { id: 'a', sessionId: 's', message: 'x' }
const KEY = { owner: 'anonymous', agentId: 'main', sessionId: 's' }
const RECONNECT = { type: 'reconnect', afterMs: 1_000 }

const framesOf = (events: SseEvent[]) => events.map(({ frame }) => frame)

/** Nobody reads, and no place is taken. */
async function isQuiet ({ app }: Host): Promise<void> {
  await eventually(() => app.channel.stats().followers === 0)
}

/** Waits until a count has not changed for longer than a system needs to pass on what it can. */
async function standsStill (count: () => number): Promise<void> {
  let [seen, since] = [-1, 0]
  await eventually(() => {
    if (count() !== seen) [seen, since] = [count(), performance.now()]
    return seen > 0 && performance.now() - since > 100
  })
}

/** Pieces of 40 characters, told apart by their numbers. */
function numbered (count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${String(i).padStart(8, '0')} 你好 😀 and some more words `)
}

t.test('an answer that lets wait for itself begins with the heartbeat, and what fails then is an event', async (t) => {
  const [clock, stage] = [new ManualClock(), new Stage()]
  const { app, tell } = await serveRest(t, { agentExecutor: stage.executor, clock, heartbeatMs: 2_000 })
  let isOpen = false
  const opening = tell(CHAT).finally(() => { isOpen = true })
  await stage.act('x').started.promise
  const behind = tell({ ...CHAT, id: 'b', message: 'y' })
  await eventually(() => app.channel.stats().turns === 2)
  clock.advance(1_000)
  t.notOk(isOpen, 'not before')
  clock.advance(2_000)
  const reader = await opening
  t.match(await reader.frames(2), [{ type: 'ack', status: 'started' }, turnStarted('x', 1)])
  t.match(await (await behind).frame(), { type: 'ack', id: 'b', status: 'queued', position: 1 })
  await eventually(() => reader.comments === 1)
  clock.advance(1_000)
  clock.advance(1_000)
  await eventually(() => reader.comments === 2)
  stage.act('x').say('z')
  t.strictSame(await reader.frame(), piece('z', 2))
  clock.advance(1_000)
  clock.advance(1_000)
  stage.act('x').end(new Error('no'))
  t.strictSame(framesOf(await reader.rest()), [failedEnd('AGENT_ERROR', 3)])
  t.equal(reader.comments, 2, 'what is said is a sign of life too')
  stage.act('y').end()
  await (await behind).rest()
})

t.test('who follows a session is told that its credentials expire, and let go when they have', async (t) => {
  const [clock, stage] = [new ManualClock(), new Stage()]
  const expiresAt = clock.date() + 60_000
  const host = await serveRest(t, {
    agentExecutor: stage.executor, clock, heartbeatMs: 1_000_000, identify: () => ({ owner: 'ada', expiresAt })
  })
  const reader = await host.follow('other')
  await reader.frame()
  const silent = refusalTo(host.tell(CHAT))
  await stage.act('x').started.promise
  clock.advance(30_000)
  clock.advance(5_000)
  clock.advance(30_000)
  const events = await reader.rest()
  t.strictSame(events, [{ retry: '1000', frame: { ...RECONNECT, reason: 'the credentials expire' } }])
  t.match((await silent), { status: 401, body: { code: 'FORBIDDEN', retryable: false } })
  stage.act('x').end()
  await isQuiet(host)
})

t.test('a drain lets go who follows nothing that runs, and the others when it has ended', async (t) => {
  const stage = new Stage()
  const host = await serveRest(t, { agentExecutor: stage.executor, drainTimeoutMs: 60_000 })
  const idle = await host.follow('idle')
  const follower = await host.follow('s')
  await follower.frame()
  stage.act('x').say('one')
  const asker = await host.tell(CHAT)
  await asker.frames(3)
  await follower.frames(2)
  const waiting = host.chat({ sessionId: 'json', message: 'y' })
  await stage.act('y').started.promise
  const drained = host.app.channel.drain()
  t.match(framesOf(await idle.rest()), [{ type: 'subscribed' }, { ...RECONNECT, reason: 'the server is shutting down' }])
  t.match(await follower.frame(), RECONNECT)
  t.match(await asker.frame(), RECONNECT)
  t.match(await refusalTo(host.follow('s')), { status: 503, headers: { 'retry-after': '1' }, body: { code: 'SHUTTING_DOWN', retryable: true } })
  t.match(await refusalTo(host.tell({ ...CHAT, id: 'new' })), { status: 503, body: { code: 'SHUTTING_DOWN' } })
  // One that was accepted is told again.
  const again = await host.tell(CHAT)
  t.match(await again.frame(), { type: 'ack', status: 'duplicate', content: 'one' })
  stage.act('x').say('two').end()
  for (const reader of [follower, asker, again]) t.strictSame(framesOf(await reader.rest()), [piece('two', 3), end(4)])
  stage.act('y').say('why').end()
  t.match(await waiting, { status: 200, body: { content: 'why' } })
  await drained
  await isQuiet(host)
})

t.test('what runs when the time of a drain is over is told its end', async (t) => {
  const [clock, stage] = [new ManualClock(), new Stage()]
  const host = await serveRest(t, { agentExecutor: stage.executor, clock, heartbeatMs: 1_000_000 })
  stage.act('x').say('one')
  const [asker, follower] = [await host.tell(CHAT), await host.follow('s')]
  await asker.frames(3)
  const silent = refusalTo(host.tell({ ...CHAT, sessionId: 'other', message: 'y' }))
  await stage.act('y').started.promise
  const drained = host.app.channel.drain({ timeoutMs: 1_000 })
  t.match(await asker.frame(), RECONNECT)
  clock.advance(1_000)
  t.strictSame(framesOf(await asker.rest()), [failedEnd('SHUTTING_DOWN', 3)])
  t.strictSame(framesOf(await follower.rest()).at(-1), failedEnd('SHUTTING_DOWN', 3))
  t.match(await silent, { status: 503, body: { code: 'SHUTTING_DOWN' } })
  await drained
})

t.test('a client that takes nothing holds up no drain', async (t) => {
  const clock = new ManualClock()
  let yielded = 0
  const host = await serveRest(t, {
    clock,
    heartbeatMs: 1_000_000,
    slowConsumerTimeoutMs: 1_000_000,
    * agentExecutor () {
      for (const one of numbered(100_000)) { yielded++; yield one }
    }
  })
  const reader = await host.tell(CHAT)
  reader.pause()
  await standsStill(() => yielded)
  let isDrained = false
  const drained = host.app.channel.drain({ timeoutMs: 1_000 }).then(() => { isDrained = true })
  await eventually(() => {
    clock.advance(250)
    return isDrained
  })
  await drained
  reader.resume()
  await reader.ended
  await isQuiet(host)
})

t.test('the server closes at once when its last events are out, also through `inject`', async (t) => {
  const stage = new Stage()
  const host = await serveRest(t, { agentExecutor: stage.executor, drainTimeoutMs: 60_000 })
  const response = await fetch(`${host.base}/agents/main/sessions/s/events`)
  const injected = host.app.inject({ url: '/api/v1/agents/main/sessions/s/events', headers: { accept: 'text/event-stream' } })
  await eventually(() => host.app.channel.stats().followers === 2)
  const json = host.chat({ sessionId: 'json', message: 'x' })
  const silent = refusalTo(host.tell({ sessionId: 'silent', message: 'y' }))
  const acts = [await stage.act('x').started.promise, await stage.act('y').started.promise]
  t.equal(acts.length, 2)
  const startedAt = performance.now()
  const closed = host.app.close()
  await eventually(() => host.app.channel.stats().followers < 4)
  stage.act('x').say('hi').end()
  stage.act('y').end(new Error('no'))
  t.match(await json, { status: 200, body: { content: 'hi' } })
  t.match(await silent, { status: 502 })
  await closed
  t.ok(performance.now() - startedAt < 4_000, 'no keep-alive is waited for')
  for (const body of [await response.text(), (await injected).body]) t.match(body, /"type":"reconnect"/)
})

t.test('the heartbeat is there without a network too', async (t) => {
  const clock = new ManualClock()
  const host = await serveRest(t, { agentExecutor: () => 'hi', clock, heartbeatMs: 1_000 })
  const injected = host.app.inject({ url: '/api/v1/agents/main/sessions/s/events', headers: { accept: 'text/event-stream' } })
  await eventually(() => host.app.channel.stats().followers === 1)
  for (let i = 0; i < 20; i++) {
    clock.advance(250)
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  await host.app.channel.drain()
  t.match((await injected).body, /^id: .*\ndata: .*\n\n(:\n\n)+retry: 1000\ndata: /)
})

t.test('an owner that the host disconnects is let go', async (t) => {
  const stage = new Stage()
  const host = await serveRest(t, { agentExecutor: stage.executor, identify: ({ headers }) => String(headers['x-owner']) })
  const ada = await host.follow('s', { 'x-owner': 'ada' })
  const bob = await host.follow('s', { 'x-owner': 'bob' })
  const silent = refusalTo(host.tell(CHAT, { 'x-owner': 'ada' }))
  await stage.act('x').started.promise
  t.equal(host.app.channel.disconnect('ada'), 2)
  t.equal(host.app.channel.disconnect('ada'), 0)
  t.equal((await ada.rest())[0]?.frame.type, 'subscribed')
  t.match(await silent, { status: 403, body: { code: 'FORBIDDEN' } })
  t.match(await bob.frame(), { type: 'subscribed' })
  await bob.destroy()
  stage.act('x').end()
})

t.test('a reader that was away for a while gets the exact text, in fewer pieces', async (t) => {
  const all = numbered(50_000)
  let yielded = 0
  const host = await serveRest(t, {
    * agentExecutor () {
      for (const one of all) { yielded++; yield one }
    }
  })
  const reader = await host.tell(CHAT)
  reader.pause()
  await standsStill(() => yielded)
  t.ok(yielded < all.length, 'the executor waits for its reader')
  reader.resume()
  const pieces = framesOf(await reader.rest()).filter(({ type }) => type === 'stream')
  t.ok(pieces.map(({ content }) => content).join('') === all.join(''), 'the text is exact')
  t.ok(pieces.length < all.length, `${pieces.length} frames for ${all.length} pieces`)
  await isQuiet(host)
})

t.test('a reader that takes nothing for too long is cut off, and its turn goes on', async (t) => {
  const clock = new ManualClock()
  const { lines, logger } = readableLog()
  const host = await serveRest(t, {
    clock, fastify: { logger }, heartbeatMs: 1_000_000, slowConsumerTimeoutMs: 5_000, * agentExecutor () { yield * numbered(50_000) }
  })
  const reader = await host.tell(CHAT)
  reader.pause()
  await eventually(() => {
    clock.advance(250)
    return host.app.channel.stats().followers === 0
  })
  t.ok(lines.some(({ msg }) => msg === 'a client reads its events too slowly'))
  await eventually(() => host.app.channel.stats().turns === 0)
  const [, kept] = (await host.app.sessionStore.messages(KEY, { limit: 2 })).messages
  t.ok(kept?.complete === true && kept.content === numbered(50_000).join(''), 'the whole answer is in the history')
  reader.resume()
  await reader.ended
})

t.test('a client that has gone leaves nothing behind; the turn of a named session goes on, that of none ends', async (t) => {
  const stage = new Stage()
  const host = await serveRest(t, { agentExecutor: stage.executor, maxConnectionsPerOwner: 1, identify: () => 'ada' })
  stage.act('named').say('one ')
  const named = await host.tell({ id: 'a', sessionId: 's', message: 'named' })
  t.match(await refusalTo(host.follow('s')), { status: 429, body: { code: 'RATE_LIMITED', retryable: true } })
  await named.destroy()
  await isQuiet(host)
  stage.act('named').say('two').end()
  await eventually(() => host.app.channel.stats().turns === 0)
  t.match(await host.ask('/agents/main/sessions/s/messages'), { body: { messages: [{}, { content: 'one two', complete: true }] } })

  stage.act('unnamed').say('one')
  const unnamed = await host.tell({ message: 'unnamed' })
  t.strictSame(await unnamed.frame(), plainPiece('one'))
  const { signal } = await stage.act('unnamed').started.promise
  await unnamed.destroy()
  await eventually(() => signal.aborted)
  await eventually(() => host.app.channel.stats().turns === 0)
})

t.test('a client that goes before the first word, or before it is known, leaves nothing behind', async (t) => {
  const [stage, identity] = [new Stage(), deferred<string>()]
  let asked = 0
  const host = await serveRest(t, {
    agentExecutor: stage.executor, onDisconnect: 'cancel', disconnectGraceMs: 1, identify: async () => asked++ === 0 ? 'ada' : await identity.promise
  })
  const first = new AbortController()
  const headers = { 'content-type': 'application/json', accept: 'text/event-stream' }
  const gone = fetch(`${host.base}/agents/main/chat`, { method: 'POST', headers, body: JSON.stringify(CHAT), signal: first.signal })
  const { signal } = await stage.act('x').started.promise
  first.abort()
  await t.rejects(gone)
  await isQuiet(host)
  await eventually(() => signal.aborted)

  const second = new AbortController()
  const early = fetch(`${host.base}/agents/main/sessions/s/events`, { signal: second.signal })
  await eventually(() => asked === 2)
  second.abort()
  await t.rejects(early)
  await eventually(() => host.app.server.listening)
  identity.resolve('ada')
  await isQuiet(host)
})

t.test('a session that is deleted while it is told ends its turn first, and is another one then', async (t) => {
  const stage = new Stage()
  const host = await serveRest(t, { agentExecutor: stage.executor })
  const follower = await host.follow('s')
  const { epoch } = await follower.frame()
  stage.act('x').say('one')
  const asker = await host.tell(CHAT)
  await asker.frames(3)
  t.equal((await host.ask('/agents/main/sessions/s', { method: 'DELETE' })).status, 204)
  t.strictSame(framesOf(await asker.rest()), [end(3, {}, 'aborted')])
  t.strictSame(await follower.frames(3), [turnStarted('x', 1), piece('one', 2), end(3, {}, 'aborted')])
  const anew = await follower.frame()
  t.strictSame(anew, subscribed(anew['epoch'], 0, false))
  t.not(anew['epoch'], epoch)
  t.match(await host.ask('/agents/main/sessions/s/messages'), { status: 200, body: { messages: [] } })
  await follower.destroy()
})

t.test('a turn whose session was forgotten by its journal has no end to tell', async (t) => {
  const [stage, journal] = [new Stage(), memoryJournal()]
  const host = await serveRest(t, { agentExecutor: stage.executor, journal })
  stage.act('x').say('one')
  const asker = await host.tell(CHAT)
  await asker.frames(3)
  const whole = host.chat({ ...CHAT, id: 'b', message: 'y' })
  await eventually(() => host.app.channel.stats().turns === 2)
  await journal.forget(KEY)
  const rest = framesOf(await asker.rest())
  t.match(rest, [{ type: 'subscribed', recovered: false, turns: [] }, refused('STORE_UNAVAILABLE', { retryAfterMs: 1_000 })])
  t.match(await whole, { status: 503, body: { code: 'STORE_UNAVAILABLE', retryable: true, retryAfterMs: 1_000 } })
})

/** A journal whose session cursors fail, or lose their place, when they come to a piece that says so. */
class FaultyJournal extends JournalDouble {
  override follow (...given: Parameters<JournalDouble['follow']>): ReturnType<JournalDouble['follow']> {
    if (this.#isGone) throw new Error('the journal is away')
    return withCursor(super.follow(...given), ({ cursor }) => new FaultyCursor(cursor, () => { this.#isGone = true }))
  }

  #isGone = false
}

class FaultyCursor extends CursorDouble {
  readonly #onLost: () => void

  constructor (inner: CursorDouble['inner'], onLost: () => void) {
    super(inner)
    this.#onLost = onLost
  }

  override next (mergeUnits: number): Entry | 'lost' | undefined {
    const entry = super.next(mergeUnits)
    if (typeof entry !== 'object' || entry.kind !== 'text') return entry
    if (entry.content === 'fail') throw new Error('the cursor fails')
    if (entry.content !== 'lose') return entry
    this.#onLost()
    return 'lost'
  }
}

t.test('a journal that fails is an error like others: a status before the first word, an event after', async (t) => {
  for (const [said, code, status] of [['fail', 'INTERNAL', 500], ['lose', 'STORE_UNAVAILABLE', 503]] as const) {
    for (const isFirst of [true, false]) {
      const stage = new Stage()
      const { lines, logger } = readableLog()
      const host = await serveRest(t, { agentExecutor: stage.executor, journal: new FaultyJournal(memoryJournal()), fastify: { logger } })
      const opening = host.tell(CHAT)
      if (isFirst) {
        stage.act('x').say(said)
        t.match(await refusalTo(opening), { status, body: { code } })
      } else {
        stage.act('x').say('one')
        const reader = await opening
        await reader.frames(3)
        stage.act('x').say(said)
        t.strictSame(framesOf(await reader.rest()), [refused(code, { retryAfterMs: 1_000 })])
      }
      t.ok(lines.some(({ level, err }) => level === 50 && /cursor fails|journal is away/.test(JSON.stringify(err))), 'the log says why')
      stage.act('x').end()
      await isQuiet(host)
    }
  }
})

/** A journal in which nothing is followed before the gate opens. */
class GatedJournal extends JournalDouble {
  readonly gate = deferred()

  override async follow (...given: Parameters<JournalDouble['follow']>): Promise<Awaited<ReturnType<JournalDouble['follow']>>> {
    await this.gate.promise
    return await super.follow(...given)
  }
}

t.test('where the host\'s own time-out answers nothing else does', async (t) => {
  const [journal, sending, gate] = [new GatedJournal(memoryJournal()), deferred(), deferred()]
  const host = await serveRest(t, {
    agentExecutor: () => 'hi',
    journal,
    fastify: { handlerTimeout: 200 },
    before (app) {
      app.addHook('onSend', async () => {
        sending.resolve()
        await gate.promise
      })
    }
  })
  const late = refusalTo(host.follow('s'))
  await sending.promise
  // Its refusal is on its way when there is something to tell.
  journal.gate.resolve()
  await eventually(() => host.app.channel.stats().followers === 1)
  gate.resolve()
  t.match(await late, { status: 503, body: { code: 'FST_ERR_HANDLER_TIMEOUT' } })
  await isQuiet(host)
  const reader = await host.follow('s')
  t.match(await reader.frame(), { type: 'subscribed' })
  await reader.destroy()
})

t.test('a Fastify without `request.signal`, before 5.8, gets its events', async (t) => {
  // Each was a 500.
  const { tell } = await serveRest(t, {
    agentExecutor: () => 'hi',
    before (app) { app.addHook('preHandler', async (request) => { Object.defineProperty(request, 'signal', { value: undefined }) }) }
  })
  t.match((await (await tell({ message: 'x' })).rest()).map(({ frame }) => frame), [{ content: 'hi', done: true }])
})

t.test('who follows sees what others do there, from the text so far', async (t) => {
  const stage = new Stage()
  const host = await serveRest(t, { agentExecutor: stage.executor })
  stage.act('x').say('one')
  const asker = await host.tell(CHAT)
  await asker.frames(3)
  const follower = await host.follow('s')
  const first = await follower.frame()
  t.strictSame(first, subscribed(first['epoch'], 2, false, [running('x', 'one')]))
  t.match(await host.ask('/agents/main/sessions/s/cancel', { method: 'POST' }), { status: 200, body: { turns: ['a'] } })
  t.strictSame(framesOf(await asker.rest()), [end(3, {}, 'aborted')])
  t.strictSame(await follower.frame(), end(3, {}, 'aborted'))
  await follower.destroy()
})

t.test('what a host publishes is told too', async (t) => {
  const agentExecutor: Executor = () => 'hi'
  const host = await serveRest(t, { agentExecutor })
  const follower = await host.follow('s')
  await follower.frame()
  await host.app.channel.publish(KEY, 'weather', { is: 'fine' })
  t.match(await follower.next(), { id: /:1$/, frame: { type: 'event', name: 'weather', data: { is: 'fine' } } })
  await follower.destroy()
})
