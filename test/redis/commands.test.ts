// What is sent to Redis is there since 6.2, as the server itself says: commands, and each of their options.
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'

import { redisScripts } from '../../lib/journal/redis/redis-scripts.js'
import { redisJournal, type RedisJournal } from '../../lib/journal/redis/redis-journal.js'
import type { RedisClient } from '../../lib/redis/redis-client.js'
import * as sessionScripts from '../../lib/sessions/redis-session-scripts.js'
import { redisSessionStore } from '../../lib/sessions/redis-session-store.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import { ioredisClient, nodeRedisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'

const LOWEST = '6.2'
const KEY = { owner: 'ada', agentId: 'main', sessionId: 's' }
const STOPPED = { finishReason: 'aborted' } as const
/** Only where a cluster has sharded channels, or an option asks for them. */
const SHARDED = ['spublish', 'ssubscribe', 'sunsubscribe']
/** What came to commands later than 6.2 and is no option of its own, and why it does not matter here. */
const LATER = [
  'xadd 7.0.0 Added support for the `<ms>-*` explicit ID form.', // Its ids are whole.
  'set 7.0.0 Allowed the `NX` and `GET` options to be used together.' // They are not.
]
/** Sent too seldom to be seen in a short life. */
const RARE: Call[] = [['unsubscribe'], ['config']]
/** Sent by clients themselves, which take a refusal for an answer. */
const BY_CLIENTS = ['client', 'hello', 'info', 'select', 'command', 'monitor', 'cluster', 'auth']

t.test('every command, and every option of it, is there since 6.2', async (t) => {
  const server = await RedisServer.start(t)
  const own = await ioredisClient(t, server)
  const docs = new Docs()
  const sent = await sentBy(t, server)
  const inScripts = scriptsOf().flatMap(callsOf)
  for (const name of ['xadd', 'xtrim', 'lpos', 'zadd', 'hsetnx']) t.ok(inScripts.some(([each]) => each === name), `${name} was found in a script`)
  for (const name of ['evalsha', 'eval', 'subscribe']) t.ok(sent.some(([each]) => each === name), `${name} was seen`)
  const used = [...inScripts, ...sent, ...RARE].filter(([name]) => !BY_CLIENTS.includes(name))
  const faults = new Set<string>()
  const later = new Set<string>()
  for (const [name, ...args] of used) {
    const { since, sinceByToken, history } = await docs.of(own, name)
    if (isLater(since) && !SHARDED.includes(name)) faults.add(`${name}: ${since}`)
    for (const arg of args) if (isLater(sinceByToken.get(arg.toUpperCase()) ?? since) && !SHARDED.includes(name)) faults.add(`${name} ${arg}`)
    for (const [version, text] of history) if (isLater(version) && !namesOption(text, sinceByToken)) later.add(`${name} ${version} ${text}`)
  }
  t.strictSame([...faults], [])
  t.strictSame([...later].filter((each) => !LATER.includes(each)), [])
})

t.test('what is later is found', async (t) => {
  const own = await ioredisClient(t, await RedisServer.start(t))
  const docs = new Docs()
  t.ok(isLater((await docs.of(own, 'expiretime')).since))
  const { since, sinceByToken } = await docs.of(own, 'pexpire')
  t.strictSame([isLater(since), isLater(sinceByToken.get('NX') ?? '')], [false, true])
  t.strictSame(callsOf("redis.call('SET', 'a', x, 'PX', 1) redis.call('XADD', k, 'MINID', '=', f(redis.call('TIME')))"), [
    ['set', 'a', 'PX'], ['xadd', 'MINID', '='], ['time']
  ])
})

type Call = [name: string, ...args: string[]]

function scriptsOf (): string[] {
  const settings = { leaseMs: 1, idleMs: 1, liveMs: 1, dedupWindowMs: 1, maxEntries: 1, maxBytes: 1 }
  const ofJournal = [true, false].flatMap((isSharded) => Object.values(redisScripts({ ...settings, isSharded })))
  const ofStore = Object.values(sessionScripts).filter((each) => typeof each === 'object' && 'lua' in each)
  return [...ofJournal, ...ofStore].map(({ lua }) => lua)
}

/** The commands that a script has, whether or not it comes to them, and all texts that stand among their arguments. */
function callsOf (lua: string): Call[] {
  return lua.split('redis.call(').slice(1).map((text): Call => {
    const [, name = /PUBLISH = \S+, \S+, '(\w+)'/.exec(lua)?.[1] ?? '', rest = ''] = /^(?:'(\w+)'|PUBLISH)([^\n]*)/.exec(text) ?? []
    return [name.toLowerCase(), ...[...rest.matchAll(/'([^']*)'/g)].map(([, arg = '']) => arg)]
  })
}

/** All that Redis is sent in a session's life, by clients and in scripts. */
async function sentBy (t: Test, server: RedisServer): Promise<Call[]> {
  const calls: Call[] = []
  const connection = await ioredisClient(t, server)
  const monitor = await connection.monitor()
  t.teardown(() => { monitor.disconnect() })
  monitor.on('monitor', (_time: string, [name = '', ...args]: string[]) => { calls.push([name.toLowerCase(), ...args]) })
  await live(await ioredisClient(t, server), 'by-ioredis:')
  await live(await nodeRedisClient(t, server), 'by-redis:')
  return calls
}

async function live (client: RedisClient, prefix: string): Promise<void> {
  const journal = redisJournal(client, { prefix, sweepMs: 10 })
  const store = redisSessionStore(client, { prefix })
  try {
    await liveIn(journal, store)
  } finally {
    await store.close?.()
    await journal.close()
  }
}

async function liveIn (journal: RedisJournal, store: SessionStore): Promise<void> {
  await journal.ready()
  const terms = { onBusy: 'queue', maxQueued: 3, maxClaims: 9, displacedEnd: STOPPED } as const
  for (const turnId of ['a', 'b', 'c']) await journal.offer(KEY, { turnId, message: turnId, acceptedAt: 1, bodyHash: turnId }, terms)
  const run = await journal.take(KEY, () => true)
  const followed = await journal.follow(KEY, {}, () => {})
  if (run === undefined) throw new Error('nothing runs')
  await journal.append(run, 1, [{ kind: 'text', content: 'x' }, { kind: 'end', end: { finishReason: 'stop' } }])
  await journal.release(run, STOPPED)
  await journal.cancel(KEY, undefined, STOPPED)
  await journal.publish(KEY, 'news', '{}')
  await journal.readers(KEY, 'a')
  followed?.cursor.close()
  await journal.forget(KEY)
  await store.append(KEY, [{ role: 'user', content: 'x', turnId: 'a', at: 1, complete: true }])
  await store.messages(KEY, { limit: 1 })
  await store.list({ owner: 'ada', agentId: 'main' }, { limit: 1 })
  await store.delete(KEY)
}

/** What a server says of its commands. */
class Docs {
  readonly #docByName = new Map<string, Promise<Doc>>()

  of (redis: Redis, name: string): Promise<Doc> {
    const known = this.#docByName.get(name) ?? this.#ask(redis, name)
    this.#docByName.set(name, known)
    return known
  }

  async #ask (redis: Redis, name: string): Promise<Doc> {
    const [, fields] = await redis.call('COMMAND', 'DOCS', name) as [string, unknown[]] | []
    if (fields === undefined) throw new Error(`there is no command ${name}`)
    const doc = objectOf(fields)
    const sinceByToken = new Map<string, string>()
    collect(doc['arguments'], String(doc['since']), sinceByToken)
    return { since: String(doc['since']), sinceByToken, history: (doc['history'] ?? []) as Array<[string, string]> }
  }
}

interface Doc {
  since: string
  sinceByToken: Map<string, string>
  history: Array<[version: string, text: string]>
}

/** An option is as old as the newest of what it stands in. */
function collect (args: unknown, since: string, sinceByToken: Map<string, string>): void {
  for (const each of (args ?? []) as unknown[][]) {
    const { token, since: own = since, arguments: inner } = objectOf(each)
    if (typeof token === 'string') sinceByToken.set(token, String(own))
    collect(inner, String(own), sinceByToken)
  }
}

function objectOf (list: unknown[]): Record<string, unknown> {
  return Object.fromEntries(list.flatMap((name, index) => index % 2 === 0 ? [[String(name), list[index + 1]]] : []))
}

/** Whether an entry of the history is of an option that says itself since when it is there. */
function namesOption (text: string, sinceByToken: Map<string, string>): boolean {
  const names = [...text.matchAll(/`([A-Z]+)/g)].map(([, name = '']) => name)
  return text.startsWith('Added') && names.length > 0 && names.every((name) => sinceByToken.has(name))
}

function isLater (version: string): boolean {
  return version.localeCompare(`${LOWEST}.9999`, 'en', { numeric: true }) > 0
}
