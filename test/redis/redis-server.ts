import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env } from 'node:process'

import type { Test } from 'tap'

import { freePort } from './free-port.js'

/** Settings of redis.conf by name, such as `appendonly: 'yes'`. */
export type RedisSettings = Readonly<Record<string, string | number>>

export interface RedisServerOptions {
  settings?: RedisSettings | undefined
}

/** Another build to test against, such as that of Valkey: `REDIS_SERVER=/path/to/valkey-server npx tap test/redis`. */
const PROGRAM = env['REDIS_SERVER'] ?? 'redis-server'
const READY = /Ready to accept connections/
const PORT_TAKEN = /Address already in use|bind: |Failed listening/
/** What a server has printed is kept for the error of one that does not start. */
const MAX_PRINTED = 16_384
const MAX_PORTS = 20

/**
 * A `redis-server` of this test alone: in its own folder, on a port of 127.0.0.1 that was free. It keeps nothing on disk unless
 * its settings say so. It ends with its test, and also when the process of the test dies, however that does.
 */
export class RedisServer {
  readonly port: number
  readonly url: string
  readonly folder: string
  readonly #settings: RedisSettings
  #child: ChildProcess | undefined

  private constructor (port: number, folder: string, settings: RedisSettings) {
    this.port = port
    this.url = `redis://127.0.0.1:${port}`
    this.folder = folder
    this.#settings = settings
  }

  static async start (t: Test, { settings = {} }: RedisServerOptions = {}): Promise<RedisServer> {
    const folder = mkdtempSync(join(tmpdir(), 'fastify-ws-channel-redis-'))
    t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
    for (let tries = 1; ; tries++) {
      const server = new RedisServer(await freePort(), folder, settings)
      t.teardown(() => server.kill())
      try {
        await server.launch()
        return server
      } catch (error) {
        // Somebody may have taken the port since it was found free.
        if (tries === MAX_PORTS || !(error instanceof PortTaken)) throw error
      }
    }
  }

  /** Its process while it runs. */
  get pid (): number | undefined {
    return this.#child?.pid
  }

  /** Starts it again, on the same port and over the same folder. Resolves once it takes commands, all that it kept being loaded. */
  async launch (): Promise<void> {
    if (this.#child !== undefined) throw new Error('this server runs already')
    // By setpriv the kernel kills the server when its parent dies, even by SIGKILL.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', PROGRAM, ...this.#arguments()], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    child.once('exit', () => { if (this.#child === child) this.#child = undefined })
    await ready(child)
  }

  /** As an operator ends it: what is to be kept on disk is written first. */
  async stop (): Promise<void> {
    await this.#end('SIGTERM')
  }

  async kill (): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** It keeps its connections and answers nothing. */
  pause (): void {
    this.#child?.kill('SIGSTOP')
  }

  resume (): void {
    this.#child?.kill('SIGCONT')
  }

  async #end (signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const exit = once(child, 'exit')
    child.kill(signal)
    await exit
  }

  #arguments (): string[] {
    const settings = { bind: '127.0.0.1', port: this.port, dir: this.folder, save: '', ...this.#settings }
    return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, `${value}`])
  }
}

/** Only its own words count: whoever answers on its port may be another server. */
function ready (child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let printed = ''
    const look = (text: string): void => {
      printed = (printed + text).slice(-MAX_PRINTED)
      if (READY.test(printed)) resolve()
    }
    child.stdout?.setEncoding('utf8').on('data', look)
    child.stderr?.setEncoding('utf8').on('data', look)
    child.once('error', reject)
    child.once('close', (code) => {
      const why = `${PROGRAM} ended with ${code ?? 'a signal'}: ${printed}`
      reject(PORT_TAKEN.test(printed) ? new PortTaken(why) : new Error(why))
    })
  })
}

class PortTaken extends Error {}
