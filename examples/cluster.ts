// npx tsx examples/cluster.ts
//
// NODES nodes (2) on one port and one Redis: REDIS_URL, or a redis-server that is started for them. Node's own balancer gives each
// connection to the next. Enter, or SIGUSR2, replaces all nodes, one by one, while clients go on: node examples/resume.mjs tea "count".
// The answer names its node: `kill -9` that, and the turn ends with TURN_LOST after some seconds; all else goes on.
import { spawn } from 'node:child_process'
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import Fastify from 'fastify'
import { Redis } from 'ioredis'

import wsChannel, { type Executor } from '../lib/index.js'
import { redisJournal, redisSessionStore } from '../lib/redis.js'

const counter: Executor = async function * ({ signal }) {
  yield `Node ${process.pid} counts:`
  for (let number = 1; number <= 10; number++) yield await pause(200, ` ${number}`, { signal })
}

async function serve (url: string) {
  const redis = new Redis(url)
  const journal = redisJournal(redis, { prefix: 'cluster:', leaseMs: 3_000 })
  const app = Fastify({ logger: true })
  app.addHook('onClose', async () => { await journal.close() }) // Before the channel, whose last turns are written to it.
  app.register(wsChannel, { agentExecutor: counter, journal, sessionStore: redisSessionStore(redis, { prefix: 'cluster:' }) })
  // Nobody is sent here any more; who is here gets `reconnect`, and is let go when what it follows has ended.
  process.once('SIGTERM', () => { void app.close().then(() => process.exit()) })
  process.on('SIGINT', () => { /* Ctrl-C is meant for the first process, which passes it on. */ })
  await app.listen({ port: Number(process.env.PORT ?? 9527) })
}

function lead (url: string) {
  const leaving = new Set<Worker>()
  const start = () => cluster.fork({ REDIS_URL: url })
  const all = () => Object.values(cluster.workers ?? {}).filter((node) => node !== undefined)
  const stop = async (node: Worker) => {
    leaving.add(node)
    node.process.kill('SIGTERM')
    await once(node, 'exit')
  }
  async function replaceAll () {
    if (leaving.size > 0) return
    for (const node of all()) {
      leaving.add(node)
      await once(start(), 'listening')
      await stop(node)
    }
    console.log('All nodes are new.')
  }
  for (let count = 0; count < Number(process.env.NODES ?? 2); count++) start()
  cluster.on('exit', (node, code) => {
    if (code > 0) process.exit(code)
    if (!leaving.delete(node)) start()
  })
  const again = () => { void replaceAll() }
  process.stdin.on('data', again)
  process.on('SIGUSR2', again)
  const end = () => { void Promise.all(all().map(stop)).then(() => process.exit()) }
  process.once('SIGINT', end).once('SIGTERM', end)
}

/** It keeps nothing, and ends with this process. */
async function startRedis () {
  const folder = mkdtempSync(join(tmpdir(), 'cluster-'))
  const redis = spawn('redis-server', ['--port', '0', '--unixsocket', join(folder, 'socket'), '--dir', folder, '--save', ''])
  process.on('exit', () => { rmSync(folder, { recursive: true }) }).on('exit', () => redis.kill())
  await once(redis, 'spawn').catch(() => {
    console.error('There is no redis-server here: install it (apt-get install redis-server), or set REDIS_URL')
    process.exit(1)
  })
  return join(folder, 'socket')
}

if (cluster.isPrimary) lead(process.env.REDIS_URL || await startRedis())
else await serve(String(process.env.REDIS_URL))
