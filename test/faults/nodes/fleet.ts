import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import { freePort } from '../../redis/free-port.js'

export interface NodeConfig {
  port: number
  redisPort: number
  prefix: string
  leaseMs: number
  sweepMs: number
  bug?: string | undefined
}

const PROGRAM = fileURLToPath(new URL('node-process.ts', import.meta.url))
const START_MS = 60_000

/** Nodes in processes of their own, each on its port; those that are killed are started again. */
export class Fleet {
  readonly nodes: FleetNode[]
  /** How often the executor was called for a turn. */
  readonly begun = new Map<string, number>()
  /** Nodes that ended by themselves, and how. */
  readonly crashes: string[] = []

  constructor (nodes: FleetNode[]) {
    this.nodes = nodes
  }

  static async start (count: number, config: Omit<NodeConfig, 'port'>): Promise<Fleet> {
    const nodes: FleetNode[] = []
    const fleet = new Fleet(nodes)
    for (let index = 0; index < count; index++) {
      nodes.push(new FleetNode({ ...config, port: await freePort() }, (turnId) => {
        fleet.begun.set(turnId, (fleet.begun.get(turnId) ?? 0) + 1)
      }, (how) => { fleet.crashes.push(`node ${index}: ${how}`) }))
    }
    await Promise.all(nodes.map((node) => node.start()))
    return fleet
  }

  close (): void {
    for (const node of this.nodes) node.kill()
  }
}

export class FleetNode {
  readonly config: NodeConfig
  readonly #onBegun: (turnId: string) => void
  readonly #onCrash: (how: string) => void
  #child: ChildProcess | undefined
  #starting: Promise<void> | undefined
  isUp = false

  constructor (config: NodeConfig, onBegun: (turnId: string) => void, onCrash: (how: string) => void) {
    this.config = config
    this.#onBegun = onBegun
    this.#onCrash = onCrash
  }

  get url (): string { return `ws://127.0.0.1:${this.config.port}/api/v1/ws` }

  /** Resolves when it listens; at once if it does. */
  async start (): Promise<void> {
    if (this.isUp) return
    const starting = this.#starting ??= this.#start().finally(() => { if (this.#starting === starting) this.#starting = undefined })
    await starting
  }

  async #start (): Promise<void> {
    // Its port is free when it is gone, and not before.
    const before = this.#child
    if (before !== undefined && before.exitCode === null && before.signalCode === null) await once(before, 'exit')
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, '--import', 'tsx', PROGRAM, JSON.stringify(this.config)], {
      stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
    })
    this.#child = child
    let printed = ''
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => { reject(new Error('a node did not start in time')) }, START_MS)
      child.once('exit', (code) => {
        clearTimeout(timer)
        // Whoever was killed has no code.
        if (code !== null) this.#onCrash(`ended with ${code}`)
        // Also of a bug that was planted.
        if (this.#child === child) this.isUp = false
        reject(new Error('a node ended before it listened'))
      })
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        const lines = (printed + text).split('\n')
        printed = lines.pop() ?? ''
        for (const line of lines) {
          if (line.startsWith('BEGUN ')) this.#onBegun(line.slice(6))
          if (line !== 'LISTENING') continue
          clearTimeout(timer)
          this.isUp = true
          resolve()
        }
      })
    })
  }

  kill (): void {
    this.isUp = false
    // Whoever starts it from now on starts it anew.
    this.#starting = undefined
    this.#child?.kill('SIGKILL')
  }

  pause (): void {
    this.#child?.kill('SIGSTOP')
  }

  resume (): void {
    this.#child?.kill('SIGCONT')
  }
}
