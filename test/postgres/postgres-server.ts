import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Pool, type PoolConfig } from 'pg'
import type { Test } from 'tap'

import { postgresProgram } from '../../.ci/postgres-program.mjs'

/** PostgreSQL will not run as root; this user comes with Debian's package. */
const USER = 'postgres'
const READY = /database system is ready to accept connections/
const MAX_PRINTED = 16_384

/**
 * A PostgreSQL of this test alone, over a folder of its own. It listens in that folder and nowhere else: so there is no port to be
 * taken. It ends with its test, and also when the process of the test dies, however that does.
 */
export class PostgresServer {
  /** Where its socket is: the `host` of connections to it. */
  readonly folder: string
  #child: ChildProcess | undefined

  private constructor (folder: string) {
    this.folder = folder
  }

  static async start (t: Test): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), 'fastify-ws-channel-postgres-'))
    t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
    if (isRoot()) chownSync(folder, idOf('-u'), idOf('-g'))
    const server = new PostgresServer(folder)
    t.teardown(() => server.stop('SIGQUIT'))
    await initialize(join(folder, 'data'))
    await server.launch()
    return server
  }

  /** Connections to it, as a host would have them. They end with the test. */
  pool (t: Test, config: PoolConfig = {}): Pool {
    const pool = new Pool({ host: this.folder, user: USER, database: 'postgres', ...config })
    t.teardown(async () => {
      // A test that breaks connections may have ended it.
      if (!pool.ended) await pool.end()
    })
    return pool
  }

  /** Starts it, again over the same folder. Resolves once it takes connections. */
  async launch (): Promise<void> {
    const settings = { listen_addresses: '', unix_socket_directories: this.folder, fsync: 'off' }
    const child = asUser(postgresProgram('postgres'), [
      '-D', join(this.folder, 'data'), ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    ])
    this.#child = child
    await new Promise<void>((resolve, reject) => { whenItSays(child, READY, resolve, reject) })
  }

  /** Also cuts off whoever is connected: by SIGINT in good order, by SIGQUIT as in a crash. */
  async stop (signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#child = undefined
    const exit = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill(signal)
    await exit
  }
}

async function initialize (folder: string): Promise<void> {
  const child = asUser(postgresProgram('initdb'), ['-D', folder, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'])
  await new Promise<void>((resolve, reject) => { whenItSays(child, /Success\./, resolve, reject) })
  if (child.exitCode === null) await once(child, 'exit')
}

/** By setpriv the kernel ends it when its parent dies; SIGQUIT lets it clean up. */
function asUser (program: string, args: string[]): ChildProcess {
  const identity = isRoot() ? ['--reuid', USER, '--regid', USER, '--init-groups'] : []
  return spawn('setpriv', [...identity, '--pdeathsig', 'QUIT', program, ...args], { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'pipe'] })
}

function whenItSays (child: ChildProcess, pattern: RegExp, resolve: () => void, reject: (error: Error) => void): void {
  let printed = ''
  const look = (text: string): void => {
    printed = (printed + text).slice(-MAX_PRINTED)
    if (pattern.test(printed)) resolve()
  }
  child.stdout?.setEncoding('utf8').on('data', look)
  child.stderr?.setEncoding('utf8').on('data', look)
  child.once('error', reject)
  child.once('close', () => { reject(new Error(`ended without saying ${pattern}: ${printed}`)) })
}

function isRoot (): boolean {
  return process.getuid?.() === 0
}

function idOf (flag: '-u' | '-g'): number {
  return Number(spawnSync('id', [flag, USER], { encoding: 'utf8' }).stdout)
}
