import { Random } from '../../fuzz/random.js'
import { until } from '../../redis/until.js'
import { checkAll, type Report } from './checks.js'
import type { Fleet } from './fleet.js'
import { Hopper, type Chat } from './hopper.js'
import { isIdle } from './is-idle.js'
import type { NodesTools } from './with-nodes.js'

type Script = (scene: Scene) => Promise<void>

/** What must happen at two nodes for each planted bug to show; without the bug nothing is to be found. */
export const SCRIPTS: Readonly<Record<string, Script>> = {
  'the fence is off': async ({ a, b, reader, say }) => {
    say(300, 10)
    await reader.has(5)
    reader.say(300, 10)
    a.pause()
    // The other node has ended the one, and runs the next.
    await reader.has(5, 1)
    a.resume()
    await b.start()
  },
  'what is appended is published before, and a node may die between': async ({ say, reader }) => {
    // A node with the bug does not survive so much.
    say(200, 5)
    await reader.has(50)
  },
  'nothing is caught up with after a break': async ({ say, reader, tools: { line, server } }) => {
    say(30, 10)
    await reader.has(2)
    line.cut(Infinity)
    await until('the turn to end unheard', 10_000, () => isIdle(server.port))
    line.cut(0)
  },
  'a claim is kept for good': async ({ say }) => { say(2, 0) }
}

/** So long a turn may take to end when nothing more happens: its lease, and more. */
const PATIENCE_MS = 8_000

/** Plays what happens, and answers what is wrong then. */
export async function play (bug: string, tools: NodesTools): Promise<string[]> {
  const report: Report = { faults: [], ends: {} }
  const scene = new Scene(bug, tools)
  const { hoppers, chats } = scene
  try {
    await SCRIPTS[bug]?.(scene)
    await checkAll({ hoppers, chats, ...tools, patienceMs: PATIENCE_MS }, report)
  } finally {
    for (const hopper of hoppers) hopper.close()
  }
  return report.faults
}

/** One who speaks at the node `a`, and one who reads at `b`, both of one session. */
class Scene {
  readonly tools: NodesTools
  readonly hoppers: readonly [Hopper, Hopper]
  readonly chats = new Map<string, Chat>()
  readonly #sessionId: string

  constructor (sessionId: string, tools: NodesTools) {
    this.tools = tools
    this.#sessionId = sessionId.replaceAll(' ', '-')
    const [a, b] = [this.a, this.b].map((node) => new Hopper(this.#sessionId, { nodes: [node] }, new Random(1)))
    if (a === undefined || b === undefined) throw new Error('there are two')
    this.hoppers = [a, b]
  }

  get a () { return nodeOf(this.tools.fleet, 0) }
  get b () { return nodeOf(this.tools.fleet, 1) }

  readonly say = (count: number, pauseMs: number): void => { this.#say(this.hoppers[0], count, pauseMs) }

  readonly reader = {
    say: (count: number, pauseMs: number): void => { this.#say(this.hoppers[1], count, pauseMs) },
    /** Settles when the reader was told so many pieces of a chat. */
    has: async (pieces: number, number = 0): Promise<void> => {
      const id = `${this.#sessionId}-${number}`
      const piecesOf = (text = ''): number => text.split(' ').length - 1
      await until(`${pieces} pieces of ${id}`, 20_000, async () => piecesOf(this.hoppers[1].turns.get(id)?.text) >= pieces)
    }
  }

  #say (hopper: Hopper, count: number, pauseMs: number): void {
    const id = `${this.#sessionId}-${this.chats.size}`
    const chat = { id, message: `${count} ${pauseMs}`, text: Array.from({ length: count }, (_, index) => `${id}:${index} `).join('') }
    this.chats.set(id, chat)
    hopper.say(chat)
  }
}

function nodeOf ({ nodes }: Fleet, index: number) {
  const node = nodes[index]
  if (node === undefined) throw new Error('there are two')
  return node
}
