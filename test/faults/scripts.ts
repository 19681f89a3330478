import { createHash } from 'node:crypto'
import { setImmediate as tick } from 'node:timers/promises'

import { AgentError, type Executor, type Part, type Turn } from '../../lib/agent/executor.js'
import { Random } from '../fuzz/random.js'

/** What an executor does with a message: the same for the same seed, owner and message. */
export interface Script {
  kind: 'whole' | 'sync' | 'async'
  steps: Step[]
  /** How the turn ends if nobody stops it. */
  end: 'stop' | 'AGENT_ERROR' | 'AGENT_TIMEOUT'
  /** All the text that readers see then. */
  text: string
  /** Works on for a while when it is told to stop, and says more. */
  isStubborn: boolean
}

type Step = { part: Part } | { ticks: number } | 'hang' | 'throw' | 'throw for the client'

/** What an executor says that nobody wants to hear any more. */
export const TOO_LATE = '(too late)'

const WORDS = ['Hello', ' world', ' und', ' 你好', '世界', '😀', '\ud83d', '\ude00', 'é', '\n', '"quoted"', '', ' ', 'x'.repeat(97)] as const

const scripts = new Map<string, Script>()

export function scriptOf (seed: number, owner: string, message: string): Script {
  const name = JSON.stringify([seed, owner, message])
  let script = scripts.get(name)
  if (script === undefined) {
    if (scripts.size > 5_000) scripts.clear()
    scripts.set(name, script = make(new Random(createHash('sha1').update(name).digest().readUInt32LE()), name))
  }
  return script
}

/** @param onCall told of each turn that is run */
export function scriptedAgent (seed: number, onCall: (turn: Turn) => void): Executor {
  return (turn) => {
    onCall(turn)
    const script = scriptOf(seed, turn.owner, turn.message)
    switch (script.kind) {
      case 'whole': return turn.message.length % 2 === 0 ? script.text : tick(script.text)
      case 'sync': return playSync(script)
      case 'async': return play(script, turn)
    }
  }
}

function make (random: Random, name: string): Script {
  const isStubborn = random.perMille(200)
  const head = `<${name}>`
  if (random.perMille(80)) return { kind: 'whole', steps: [], end: 'stop', text: head + piece(random).toWellFormed(), isStubborn }
  const kind = random.perMille(150) ? 'sync' : 'async'
  const steps: Step[] = []
  const failsAt = random.perMille(250) ? random.below(30) : Infinity
  const count = random.pick([0, 3, 10, 25, 40, 60, 120])
  const failure = random.pick(['throw', 'throw for the client', kind === 'async' ? 'hang' : 'throw'] as const)
  let text = ''
  for (let i = 0; i < count && i < failsAt; i++) {
    const content = i === 0 ? head : piece(random)
    steps.push({ part: random.perMille(800) ? content : { type: 'text', content } })
    text += content
    if (kind === 'async' && random.perMille(350)) steps.push({ ticks: 1 + random.below(4) })
    if (random.perMille(60)) steps.push({ part: { type: 'event', name: random.pick(['progress', 'reasoning', 'mine']), data: { i, content: piece(random).toWellFormed() } } })
    if (random.perMille(40)) steps.push({ part: { type: 'message', content: `whole ${i} ${piece(random)}` } })
  }
  const end = failsAt === Infinity ? 'stop' : failure === 'hang' ? 'AGENT_TIMEOUT' : 'AGENT_ERROR'
  if (end !== 'stop') steps.push(failure)
  else if (random.perMille(300)) steps.push({ part: { type: 'finish', finishReason: 'length', usage: { inputTokens: 1, outputTokens: count } } })
  return { kind, steps, end, text: text.toWellFormed(), isStubborn }
}

function piece (random: Random): string {
  if (random.perMille(15)) return '长'.repeat(200 + random.below(7_000))
  let text = ''
  for (let left = 1 + random.below(6); left > 0; left--) text += random.pick(WORDS)
  return text
}

function * playSync ({ steps }: Script): Generator<Part, void, undefined> {
  for (const step of steps) {
    if (typeof step === 'string') fail(step)
    else if ('part' in step) yield step.part
  }
}

async function * play ({ steps, isStubborn }: Script, { signal }: Turn): AsyncGenerator<Part, void, undefined> {
  for (const step of steps) {
    if (step === 'hang') await aborted(signal)
    else if (typeof step === 'string') fail(step)
    else if ('part' in step) yield step.part
    else for (let left = step.ticks; left > 0; left--) await tick()
    if (!signal.aborted) continue
    if (!isStubborn) throw signal.reason
    for (let left = 6; left > 0; left--) await tick()
    yield TOO_LATE
  }
}

function fail (how: string): void {
  throw how === 'throw' ? new Error('the agent failed, as told') : new AgentError('as told')
}

function aborted (signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => { resolve() })
  })
}
