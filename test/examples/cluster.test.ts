import process from 'node:process'

import t, { type Test } from 'tap'
import { WebSocket } from 'ws'

import { createChannelClient, type ChannelClient, type ClientTurn } from '../../lib/client/index.js'
import { run, startExample } from './processes.js'

// Starting processes through a compiler takes its time on a busy machine.
t.setTimeout(180_000)

const WHOLE = /^Node \d+ counts: 1 2 3 4 5 6 7 8 9 10$/

t.test('cluster.ts answers through its balancer while its nodes are replaced, and one is killed', async (t) => {
  const { child, ended, printed, url } = await startExample(t, 'cluster.ts')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  const client = openClient(t, url)

  const first = client.chat({ sessionId: 'tea', message: 'count' })
  const before = await nodeOf(first)
  child.kill('SIGUSR2')
  t.match((await first.finished).text, WHOLE, 'its node ends when the answer has')
  await printed(/All nodes are new\./)
  const second = client.chat({ sessionId: 'tea', message: 'count' })
  const after = await nodeOf(second)
  t.not(after, before, 'another node answers the same client')
  t.throws(() => process.kill(before, 0), { code: 'ESRCH' })

  const watcher = openClient(t, url)
  const waiting = watcher.chat({ sessionId: 'tea', message: 'count' })
  await eventTo(waiting)
  process.kill(after, 'SIGKILL')
  await t.rejects(second.finished, { code: 'TURN_LOST' })
  t.match(second.text, new RegExp(`^Node ${after} counts:`), 'what was said is kept')
  t.match((await waiting.finished).text, WHOLE, 'what waited runs')
  t.not(await nodeOf(waiting), after)

  for (const each of [client, watcher]) each.close()
  child.kill('SIGTERM')
  t.equal((await ended).code, 0)
})

t.test('cluster.ts says what is missing', async (t) => {
  const { code, stderr } = await run(t, process.execPath, ['--import', 'tsx', 'examples/cluster.ts'], { env: { PATH: '/nothing', REDIS_URL: '' } })
  t.strictSame([code, stderr], [1, 'There is no redis-server here: install it (apt-get install redis-server), or set REDIS_URL\n'])
})

t.test('cluster.ts ends where its nodes cannot start', async (t) => {
  const { code } = await run(t, process.execPath, ['--import', 'tsx', 'examples/cluster.ts'], { env: { PORT: 'none' } })
  t.equal(code, 1)
})

function openClient (t: Test, url: string): ChannelClient {
  const client = createChannelClient({ url, WebSocket, minBackOffMs: 10, maxBackOffMs: 100 })
  t.teardown(() => { client.close() })
  return client
}

/** The process that answers; every answer begins with it. */
async function nodeOf (turn: ClientTurn): Promise<number> {
  let text = ''
  for await (const piece of turn) {
    text += piece
    const [, pid] = /^Node (\d+) /.exec(text) ?? []
    if (pid !== undefined) return Number(pid)
  }
  throw new Error(`no node is named in: ${text}`)
}

/** Settles when it is known to the server. */
async function eventTo (turn: ClientTurn): Promise<void> {
  for await (const { type } of turn.events) if (type === 'ack') return
}
