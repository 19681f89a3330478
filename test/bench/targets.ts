import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import process, { env } from 'node:process'
import { fileURLToPath } from 'node:url'

import { build, stop } from 'esbuild'

import type { WsChannelOptions } from '../../lib/index.js'

export interface TargetConfig {
  kind: 'raw-ws' | 'fastify-websocket' | 'channel'
  /** Time between WebSocket pings. */
  heartbeatMs: number
  /** For the channel. */
  options: WsChannelOptions
  /** Where the channel is. */
  library: string
}

/** What users install: `npm run build` has made it. */
const BUILT = new URL('../../dist/index.js', import.meta.url).href
const SOURCES = new URL('../../lib/index.ts', import.meta.url).href

/** `isBuilt`: the channel as it is built, and not its sources. */
export type TargetWish = Partial<Omit<TargetConfig, 'library'>> & Pick<TargetConfig, 'kind'> & { isBuilt?: boolean }

/** What a process has used so far: processor time in milliseconds, memory in bytes. */
export interface TargetUsage {
  cpuMs: number
  rss: number
}

/** The memory of a process, in bytes, after a garbage collection; what that takes of the processor is no cost of a load. */
export interface TargetReport {
  rss: number
  heap: number
}

/** The processors are divided: one for the target that is measured, one for the load. */
const [TARGETS_CPU, LOAD_CPU] = [0, 1]
/** Asked once: of a process that keeps to one processor the answer is 1. */
const HAS_TWO = availableParallelism() > 1

/** Keeps this process to its own processor; answers whether that was possible. */
export function pinLoad (): boolean {
  return pin(process.pid, LOAD_CPU)
}

export async function startTarget (config: TargetWish): Promise<Target> {
  const { isBuilt = true, ...rest } = config
  const full: TargetConfig = { heartbeatMs: 25_000, options: {}, ...rest, library: isBuilt ? BUILT : SOURCES }
  // In plain Node: what compiles the sources would take 35 MiB of each target, and whoever takes more would seem to take less.
  const compiler = isBuilt ? [] : ['--import=tsx']
  const args = ['--expose-gc', ...compiler, '--input-type=module', '--eval', await (code ??= targetCode()), JSON.stringify(full)]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { ...env, NODE_V8_COVERAGE: '', _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  })
  if (child.pid !== undefined) pin(child.pid, TARGETS_CPU)
  const { port } = await replyOf<{ port: number }>(child)
  return new Target(child, port)
}

export class Target {
  readonly port: number
  readonly #child: ChildProcess

  constructor (child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  async report (): Promise<TargetReport> {
    return await this.#ask('report')
  }

  /**
   * As it is, without a collection: a full one that finds nothing running has V8 forget the code it has compiled, which no
   * service does to itself while it is used.
   */
  async usage (): Promise<TargetUsage> {
    return await this.#ask('usage')
  }

  async cpuMs (): Promise<number> {
    return (await this.usage()).cpuMs
  }

  async #ask<T> (what: string): Promise<T> {
    const reply = replyOf<T>(this.#child)
    this.#child.send(what)
    return await reply
  }

  async stop (): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}

async function replyOf<T> (child: ChildProcess): Promise<T> {
  const waiting = new AbortController()
  const { signal } = waiting
  try {
    const died = once(child, 'exit', { signal }).then(() => { throw new Error('a target has died') })
    return await Promise.race([once(child, 'message', { signal }).then(([reply]) => reply as T), died])
  } finally {
    waiting.abort()
  }
}

let code: Promise<string> | undefined

/** `target-server.ts` and what it imports from here, as JavaScript. */
async function targetCode (): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('target-server.ts', import.meta.url))],
    write: false,
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20'
  })
  // Else its process stays as long as this one.
  await stop()
  return outputFiles.map(({ text }) => text).join('')
}

function pin (pid: number, cpu: number): boolean {
  return HAS_TWO && spawnSync('taskset', ['-acp', `${cpu}`, `${pid}`], { stdio: 'ignore' }).status === 0
}
