import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { env } from 'node:process'
import { fileURLToPath } from 'node:url'

import type { NodeConfig } from './node-kinds.js'

/** What a node is told to do; it answers with the name when it has begun. */
export interface Order {
  order: 'prepare' | 'say'
  name: string
  text: string
}

/** @param config `BENCH_NODE_OPTIONS=--cpu-prof` tells the processes to profile themselves */
export async function startNode (config: NodeConfig): Promise<NodeProcess> {
  const child = fork(fileURLToPath(new URL('node.ts', import.meta.url)), [JSON.stringify(config)], {
    execArgv: ['--import=tsx', ...env['BENCH_NODE_OPTIONS']?.split(' ') ?? []],
    env: { ...env, NODE_V8_COVERAGE: '', _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  })
  const waiting = new AbortController()
  const { signal } = waiting
  try {
    const died = once(child, 'exit', { signal }).then(() => { throw new Error(`a node of ${config.kind} has died`) })
    const [{ port }] = await Promise.race([once(child, 'message', { signal }), died]) as [{ port: number }]
    return new NodeProcess(child, port)
  } finally {
    waiting.abort()
  }
}

export class NodeProcess {
  readonly port: number
  readonly #child: ChildProcess
  readonly #begunByName = new Map<string, () => void>()
  #isStopped = false

  constructor (child: ChildProcess, port: number) {
    this.port = port
    this.#child = child
    child.once('exit', () => { if (!this.#isStopped) throw new Error('a node has died') })
    child.on('message', ({ name }: { name: string }) => {
      this.#begunByName.get(name)?.()
      this.#begunByName.delete(name)
    })
  }

  /** One at a time for each name. */
  async tell (order: Order): Promise<void> {
    const begun = new Promise<void>((resolve) => { this.#begunByName.set(order.name, resolve) })
    this.#child.send(order)
    await begun
  }

  async stop (): Promise<void> {
    this.#isStopped = true
    const exited = once(this.#child, 'exit')
    // It ends by itself then, with its profile where one was asked for.
    this.#child.disconnect()
    await exited
  }
}
