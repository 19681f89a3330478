import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface NodeConfig {
  redisPort: number
  prefix: string
  leaseMs: number
  sweepMs: number
  bug?: string | undefined
}

const PROGRAM = fileURLToPath(new URL('node-process.ts', import.meta.url))
const START_MS = 60_000
/** Nobody listens there. */
const NO_PORT = 1

/** Nodes in processes of their own; those that are killed are started again, each time on another port. */
export class Fleet {
  readonly nodes: FleetNode[]
  /** How often the executor was called for a turn. */
  readonly begun = new Map<string, number>()
  /** How those that ran a turn were about to end it, as `turn end`. */
  readonly ends = new Set<string>()
  /** Nodes that ended by themselves, and how. */
  readonly crashes: string[] = []

  constructor (nodes: FleetNode[]) {
    this.nodes = nodes
  }

  static async start (count: number, config: NodeConfig): Promise<Fleet> {
    const nodes: FleetNode[] = []
    const fleet = new Fleet(nodes)
    for (let index = 0; index < count; index++) {
      nodes.push(new FleetNode(config, (turnId) => {
        fleet.begun.set(turnId, (fleet.begun.get(turnId) ?? 0) + 1)
      }, (end) => { fleet.ends.add(end) }, (how) => { fleet.crashes.push(`node ${index}: ${how}`) }))
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
  readonly #onEnds: (end: string) => void
  readonly #onCrash: (how: string) => void
  #child: ChildProcess | undefined
  #starting: Promise<void> | undefined
  #port = NO_PORT
  isUp = false

  constructor (config: NodeConfig, onBegun: (turnId: string) => void, onEnds: (end: string) => void, onCrash: (how: string) => void) {
    this.config = config
    this.#onBegun = onBegun
    this.#onEnds = onEnds
    this.#onCrash = onCrash
  }

  get url (): string { return `ws://127.0.0.1:${this.#port}/api/v1/ws` }

  /** Resolves when it listens; at once if it does. */
  async start (): Promise<void> {
    if (this.isUp) return
    const starting = this.#starting ??= this.#start().finally(() => { if (this.#starting === starting) this.#starting = undefined })
    await starting
  }

  async #start (): Promise<void> {
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
        if (this.#child === child) this.#isDown()
        reject(new Error('a node ended before it listened'))
      })
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        const lines = (printed + text).split('\n')
        printed = lines.pop() ?? ''
        for (const line of lines) {
          if (line.startsWith('BEGUN ')) this.#onBegun(line.slice(6))
          if (line.startsWith('ENDS ')) this.#onEnds(line.slice(5))
          if (!line.startsWith('LISTENING ') || this.#child !== child) continue
          clearTimeout(timer)
          this.isUp = true
          this.#port = Number(line.slice(10))
          resolve()
        }
      })
    })
  }

  kill (): void {
    this.#child?.kill('SIGKILL')
    this.#isDown()
    // Whoever starts it from now on starts it anew.
    this.#starting = undefined
  }

  #isDown (): void {
    this.#child = undefined
    this.isUp = false
    // Whoever is there next is somebody else.
    this.#port = NO_PORT
  }

  pause (): void {
    this.#child?.kill('SIGSTOP')
  }

  resume (): void {
    this.#child?.kill('SIGCONT')
  }
}
