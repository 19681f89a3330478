import { once } from 'node:events'
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'

import t, { type Test } from 'tap'

import { memorySessionStore, type TurnCursor } from '../../lib/index.js'
import { readableLog } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { completionOf, refusal, serveDoor, streamOf, textOf, type Door } from './completion-host.js'

t.test('an answer that is silent for long says that it lives', async (t) => {
  const clock = new ManualClock()
  const release = deferred()
  const running = deferred()
  const door = await serveDoor(t, {
    clock,
    heartbeatMs: 1_000,
    agentExecutor: async function * () {
      running.resolve()
      await release.promise
      yield 'At last'
    }
  })
  const { response } = open(t, door, streamOf('Hi'))
  await running.promise
  clock.advance(1_000)
  const answer = await response
  t.equal(answer.statusCode, 200, 'it begins before there is a word')
  clock.advance(3_000)
  release.resolve()
  const told = (await text(answer)).split('\n\n')
  t.match(told.slice(0, 2), [/"role":"assistant"/, /^:$/])
  t.ok(told.filter((event) => event === ':').length > 1, 'more than once')
  t.match(told.at(-4), /"content":"At last"/)

  t.test('and the official client reads over that', async (t) => {
    const gate = deferred()
    const { client } = await serveDoor(t, { heartbeatMs: 1, agentExecutor: async function * () { await gate.promise; yield 'Hello' } })
    const stream = await client.chat.completions.create(streamOf('Hi'))
    gate.resolve()
    t.equal(await textOf(stream), 'Hello')
  })
})

t.test('a turn that was talking is not said to be silent', async (t) => {
  const clock = new ManualClock()
  const next = [deferred(), deferred(), deferred()]
  const door = await serveDoor(t, {
    clock,
    heartbeatMs: 4_000,
    agentExecutor: async function * () {
      for (const [index, step] of next.entries()) {
        await step.promise
        yield `${index}`
      }
    }
  })
  const { response } = open(t, door, streamOf('Hi'))
  next[0]?.resolve()
  const answer = await response
  const events = eventsOf(answer)
  await events.until('"content":"0"')
  clock.advance(3_000)
  next[1]?.resolve()
  await events.until('"content":"1"')
  clock.advance(3_000)
  next[2]?.resolve()
  await events.until('[DONE]')
  t.notMatch(events.told(), /^:$/m)
})

t.test('a client that reads too slowly is cut off, and its turn stopped', async (t) => {
  const clock = new ManualClock()
  const stopped = deferred()
  const { lines, logger } = readableLog()
  const door = await serveDoor(t, {
    clock,
    fastify: { logger, forceCloseConnections: true },
    slowConsumerTimeoutMs: 5_000,
    agentExecutor: async function * ({ signal }) {
      signal.addEventListener('abort', () => { stopped.resolve() })
      for (;;) {
        yield 'x'.repeat(64 * 1024)
        await new Promise((resolve) => { setImmediate(resolve) })
      }
    },
    maxAnswerBytes: 512 * 1024 * 1024
  })
  const { response } = open(t, door, streamOf('Hi'))
  const answer = await response
  answer.pause()
  let isStopped = false
  void stopped.promise.then(() => { isStopped = true })
  await eventually(() => {
    clock.advance(1_000)
    return isStopped
  })
  await eventually(() => door.app.channel.stats().followers === 0)
  t.ok(lines.some(({ msg }) => msg === 'a client reads its answer too slowly'))
})

t.test('credentials that expire end the answer', async (t) => {
  const clock = new ManualClock()
  const running = deferred()
  const says = deferred()
  const stopped: string[] = []
  const door = await serveDoor(t, {
    clock,
    identify: () => ({ owner: 'ada', expiresAt: clock.date() + 5_000 }),
    agentExecutor: async function * ({ message, signal }) {
      signal.addEventListener('abort', () => { stopped.push(message) })
      if (message === 'talking') yield 'Once'
      running.resolve()
      await says.promise
    }
  })
  const talking = await open(t, door, streamOf('talking')).response
  const silent = open(t, door, streamOf('silent'))
  await eventually(() => door.app.channel.stats().runningTurns === 2)
  clock.advance(5_000)
  t.match(await text(talking), /data: \{"error":\{[^}]*"type":"authentication_error"[^}]*\}\}\n\n$/)
  t.equal((await silent.response).statusCode, 401)
  await eventually(() => stopped.length === 2)
  says.resolve()
})

t.test('an owner whom the host disconnects', async (t) => {
  const says = deferred()
  const door = await serveDoor(t, {
    identify: () => 'ada',
    agentExecutor: async function * ({ message }) {
      if (message === 'talking') yield 'Once'
      await says.promise
    }
  })
  const talking = await open(t, door, streamOf('talking')).response
  const silent = open(t, door, streamOf('silent'))
  await eventually(() => door.app.channel.stats().runningTurns === 2)
  t.equal(door.app.channel.disconnect('ada'), 2)
  t.equal(door.app.channel.disconnect('ada'), 0, 'they are gone already')
  t.match(await text(talking), /"content":"Once".*"type":"permission_error"[^}]*\}\}\n\n$/s)
  t.equal((await silent.response).statusCode, 403)
  says.resolve()
})

t.test('a shutdown lets answers end, and says so to those that cannot', async (t) => {
  const clock = new ManualClock()
  const says = deferred()
  const door = await serveDoor(t, {
    clock,
    drainTimeoutMs: 10_000,
    agentExecutor: async function * ({ message, signal }) {
      yield 'Once '
      if (message === 'ends') await says.promise
      else await new Promise((resolve) => { signal.addEventListener('abort', resolve) })
      yield 'upon'
    }
  })
  const ends = await open(t, door, streamOf('ends')).response
  const hangs = await open(t, door, streamOf('hangs', { sessionId: 'tea' })).response
  const waits = open(t, door, streamOf('waits', { sessionId: 'tea' }))
  const whole = open(t, door, completionOf('waits', { sessionId: 'tea' }))
  await eventually(() => door.app.channel.stats().turns === 4)
  const drained = door.app.channel.drain()
  t.equal((await refusal(door.client.chat.completions.create(completionOf('new')))).status, 503)
  for (const asked of [waits, whole]) {
    const refused = await asked.response
    t.equal(refused.statusCode, 503)
    t.equal(refused.headers['x-should-retry'], undefined, 'it has not run: who asks again does no harm')
    t.match(JSON.parse(await text(refused)), { error: { type: 'server_error', code: 'shutting_down' } })
  }
  says.resolve()
  t.match(await text(ends), /"content":"upon".*\[DONE\]\n\n$/s)
  clock.advance(10_000)
  t.match(await text(hangs), /"code":"shutting_down"\}\}\n\n$/)
  await drained
})

t.test('who has gone meanwhile gets no turn, or stops it', async (t) => {
  await t.test('while the host thinks about the request', async (t) => {
    let calls = 0
    const verdict = deferred<boolean>()
    const asked = deferred()
    const door = await serveDoor(t, {
      authorize: async () => {
        asked.resolve()
        return await verdict.promise
      },
      agentExecutor: () => { calls++; return 'x' }
    })
    for (const body of [streamOf('Hi', { messages: HISTORY }), completionOf('Hi')]) {
      const { client } = open(t, door, body)
      await asked.promise
      client.destroy()
      await eventually(() => door.app.channel.stats().connections === 0)
    }
    verdict.resolve(true)
    await eventually(() => door.app.channel.stats().turns === 0)
    t.equal(calls, 0)
    t.equal(door.app.channel.stats().sessions, 0)
  })

  await t.test('while the journal takes the chat', async (t) => {
    const journal = new SlowJournal()
    const offered = deferred()
    const take = deferred()
    journal.after = async (method) => {
      if (method !== 'offer') return
      offered.resolve()
      await take.promise
    }
    const door = await serveDoor(t, { journal, agentExecutor: async ({ signal }) => {
      await new Promise((resolve) => { signal.addEventListener('abort', resolve) })
      return 'x'
    } })
    const { client } = open(t, door, streamOf('Hi', { sessionId: 'tea' }))
    await offered.promise
    client.destroy()
    await eventually(() => door.app.channel.stats().connections === 0)
    take.resolve()
    await eventually(() => door.app.channel.stats().turns === 0)
    await eventually(() => journal.openCursors === 0)
    t.pass('the turn has ended')
  })
})

t.test('a turn that cannot be stopped is logged', async (t) => {
  const { lines, logger } = readableLog()
  const journal = new SlowJournal()
  const store = memorySessionStore()
  const keeps = deferred()
  const kept = deferred()
  const append = store.append.bind(store)
  const door = await serveDoor(t, {
    journal,
    fastify: { logger, forceCloseConnections: true },
    agentExecutor: () => 'x',
    sessionStore: Object.assign(store, {
      async append (...[key, messages]: Parameters<typeof append>) {
        if (messages[0]?.role === 'assistant') {
          keeps.resolve()
          await kept.promise
        }
        append(key, messages)
      }
    })
  })
  journal.before = (method) => {
    if (method === 'cancel') throw new Error('no cancel')
    return undefined
  }
  const { client } = open(t, door, streamOf('Hi', { sessionId: 'tea' }))
  await keeps.promise
  client.destroy()
  await eventually(() => lines.some(({ msg }) => msg === 'the turn of a completion could not be ended'))
  t.pass('its end was decided already')
  kept.resolve()
  await eventually(() => door.app.channel.stats().turns === 0)
})

t.test('of a history that is too large the newest is kept', async (t) => {
  const door = await serveDoor(t, {
    maxPayload: 8 * 1024 * 1024,
    agentExecutor: async (turn) => (await turn.history({ limit: 1_000 })).map(({ content }) => content.slice(0, 9)).join()
  })
  const asked = { role: 'user', content: 'Hi' } as const
  const large = [{ role: 'assistant', content: 'x'.repeat(2 * 1024 * 1024) }, { role: 'user', content: 'newest' }, asked] as const
  t.equal((await door.client.chat.completions.create({ model: 'main', messages: [...large] })).choices[0]?.message.content, 'newest')
  const many = Array.from({ length: 300 }, (_, index) => ({ role: 'user', content: `${index}` }) as const)
  const answer = await door.client.chat.completions.create({ model: 'main', messages: [...many, asked] })
  t.match(answer.choices[0]?.message.content, /^10\d,.*,299$/)
})

t.test('a chat that is larger than a frame may be', async (t) => {
  // Of a body as large as a frame may be, the chat alone is larger once it is written anew.
  const door = await serveDoor(t, { maxPayload: 1024, maxMessageLength: 2000, agentExecutor: () => 'x' })
  const refused = await door.post(`{"model":"main","messages":[{"role":"user","content":"${'\u0085'.repeat(440)}"}]}`)
  t.equal(refused.status, 200)
  const larger = await door.post(`{"model":"main","messages":[{"role":"user","content":"${'x'.repeat(950)}"}]}`)
  t.equal(larger.status, 413)
  t.match(await larger.json(), { error: { message: 'A field is wrong: larger than `maxPayload`', type: 'invalid_request_error', param: null } })
})

t.test('metadata that is too deep to be said in JSON', async (t) => {
  const door = await serveDoor(t, { agentExecutor: () => 'x' })
  const body = JSON.stringify(completionOf('Hi', { metadata: { deep: 0 } })).replace('0', `${'['.repeat(20_000)}${']'.repeat(20_000)}`)
  const answer = await door.post(body)
  t.equal(answer.status, 400)
  t.match(await answer.json(), { error: { type: 'invalid_request_error' } })
})

t.test('a turn that can no longer be told', async (t) => {
  for (const [says, code] of [['lost', 'store_unavailable'], ['fails', 'internal']] as const) {
    const { lines, logger } = readableLog()
    const journal = new BrokenReader(says)
    const door = await serveDoor(t, { journal, fastify: { logger, forceCloseConnections: true }, agentExecutor: () => ['Once', 'upon'] })
    const told = await text(await open(t, door, streamOf('Hi', { sessionId: 'tea' })).response)
    t.match(told, /"content":"Once"/)
    t.match(told, new RegExp(`"code":"${code}"\\}\\}\\n\\n$`))
    t.equal(lines.some(({ msg }) => msg === 'an answer could not be told'), says === 'fails')
    const status = says === 'fails' ? 500 : 503
    t.equal((await refusal(door.client.chat.completions.create(completionOf('Hi', { sessionId: 'coffee' })))).status, status)
  }
})

t.test('headers that hooks have set are sent', async (t) => {
  const door = await serveDoor(t, {
    before (app) { app.addHook('onRequest', async (_request, reply) => { reply.header('x-host', 'yes') }) }
  })
  t.equal((await open(t, door, streamOf('Hi')).response).headers['x-host'], 'yes')
})

t.test('where the host\'s `handlerTimeout` is over Fastify answers, and nobody else', async (t) => {
  const clock = new ManualClock()
  const says = deferred()
  const door = await serveDoor(t, {
    clock,
    before (app) {
      app.addHook('preHandler', async (request) => {
        Object.defineProperty(request, 'signal', { value: AbortSignal.abort({ code: 'FST_ERR_HANDLER_TIMEOUT' }) })
      })
    },
    agentExecutor: async function * () {
      await says.promise
      yield 'late'
    }
  })
  const { client } = open(t, door, streamOf('Hi'))
  let isAnswered = false
  client.on('response', () => { isAnswered = true })
  await eventually(() => door.app.channel.stats().runningTurns === 1)
  clock.advance(30_000)
  says.resolve()
  await eventually(() => door.app.channel.stats().turns === 0)
  client.destroy()
  await eventually(() => door.app.channel.stats().connections === 0)
  t.notOk(isAnswered)
  t.equal(door.app.channel.stats().followers, 0)
})

const HISTORY = [{ role: 'system', content: 'Be brief' }, { role: 'user', content: 'Hi' }]

/** Tells the first of what a turn says, and then no more. */
class BrokenReader extends SlowJournal {
  readonly #says: 'lost' | 'fails'

  constructor (says: 'lost' | 'fails') {
    super()
    this.#says = says
    const followTurn = this.followTurn
    this.followTurn = async (...given) => {
      const cursor = await followTurn(...given)
      return cursor === undefined ? undefined : this.#broken(cursor)
    }
  }

  #broken (cursor: TurnCursor): TurnCursor {
    let hasTold = false
    return {
      text: () => cursor.text(),
      close: () => { cursor.close() },
      next: () => {
        if (hasTold && this.#says === 'fails') throw new Error('broken')
        if (hasTold) return 'lost'
        const entry = cursor.next()
        hasTold = entry !== undefined && entry !== 'lost' && entry.kind === 'text'
        return entry
      }
    }
  }
}

/** One request on a connection of its own. */
function open (t: Test, { origin }: Door, body: object): { client: ClientRequest, response: Promise<IncomingMessage> } {
  const client = request(`${origin}/api/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, agent: false })
  const response = once(client, 'response').then(([answer]) => answer as IncomingMessage)
  response.catch(() => {})
  client.on('error', () => {})
  client.end(JSON.stringify(body))
  t.teardown(() => { client.destroy() })
  return { client, response }
}

/** Reads on while it is looked at. */
function eventsOf (answer: IncomingMessage): { told: () => string, until: (part: string) => Promise<void> } {
  let told = ''
  answer.setEncoding('utf8').on('data', (chunk: string) => { told += chunk })
  return { told: () => told, until: async (part) => { await eventually(() => told.includes(part)) } }
}
