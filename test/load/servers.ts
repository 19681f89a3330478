import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { env } from 'node:process'
import { fileURLToPath } from 'node:url'

import type { WsChannelOptions } from '../../lib/index.js'

export interface ServerConfig {
  kind: 'channel' | 'bare' | 'sessions'
  /** How many pieces the agent `burst` has. */
  pieces: number
  /** How many sessions have a turn by `run`; every tenth is followed from then on. */
  sessions: number
  options: WsChannelOptions
}

export type ServerCommand = 'memory' | 'cpu' | 'yielded' | 'stats' | 'release' | 'run' | 'trim' | 'close'

export interface ServerReply {
  port?: number
  memory?: MemoryReport
  /** What the process has used of a processor since it began, in milliseconds. */
  cpuMs?: number
  yielded?: number
  stats?: Record<string, number>
  closedMs?: number
}

/** In bytes, after a garbage collection. */
export interface MemoryReport {
  rss: number
  /** Heap and external memory: what JavaScript holds. */
  heap: number
}

/** Starts a server in a process of its own; it ends with `close`, and with this process. */
export async function startServer (config: Partial<ServerConfig>): Promise<ServerProcess> {
  const full: ServerConfig = { kind: 'channel', pieces: 0, sessions: 0, options: {}, ...config }
  const child = fork(fileURLToPath(new URL('server-process.ts', import.meta.url)), [JSON.stringify(full)], {
    execArgv: ['--expose-gc', '--import=tsx'],
    // Coverage of a process whose memory is measured would be measured along.
    env: { ...env, NODE_V8_COVERAGE: '', _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  })
  const server = new ServerProcess(child)
  const { port = 0 } = await server.reply()
  server.url = `ws://127.0.0.1:${port}/api/v1/ws`
  return server
}

export class ServerProcess {
  url = ''
  readonly #child: ChildProcess

  constructor (child: ChildProcess) {
    this.#child = child
  }

  async ask (command: ServerCommand): Promise<ServerReply> {
    const reply = this.reply()
    this.#child.send(command)
    return await reply
  }

  async reply (): Promise<ServerReply> {
    const waiting = new AbortController()
    const { signal } = waiting
    try {
      const died = once(this.#child, 'exit', { signal }).then(() => { throw new Error('the server process has died') })
      const replied = once(this.#child, 'message', { signal }).then(([reply]) => reply as ServerReply)
      return await Promise.race([replied, died])
    } finally {
      waiting.abort()
    }
  }

  async memory (): Promise<MemoryReport> {
    const { memory } = await this.ask('memory')
    if (memory === undefined) throw new Error('no memory report')
    return memory
  }

  async cpuMs (): Promise<number> {
    const { cpuMs } = await this.ask('cpu')
    if (cpuMs === undefined) throw new Error('no report of the processor')
    return cpuMs
  }

  /**
   * Answers how long the server took to close, in milliseconds.
   * @param release lets turns that are held end, once the server has begun to close
   */
  async close (release = false): Promise<number> {
    const exited = once(this.#child, 'exit')
    this.#child.send('close')
    if (release) await this.ask('release')
    const { closedMs = 0 } = await this.reply()
    await exited
    return closedMs
  }

  /** For the end of a test that failed. */
  kill (): void {
    this.#child.kill('SIGKILL')
  }
}
