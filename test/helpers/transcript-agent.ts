import { setImmediate as tick } from 'node:timers/promises'

import { AgentError, type Answer, type Executor, type Part, type Turn } from '../../lib/agent/executor.js'
import { deferred } from './deferred.js'
import type { AgentLine } from './transcript.js'

/** An agent that does in each turn what a transcript says, when it says so. */
export class TranscriptAgent {
  readonly #scripts = new Map<string, Script>()
  readonly executor: Executor = (turn) => this.#script(turn.message).perform(turn)

  async act (line: AgentLine): Promise<void> {
    const script = this.#script(line.to)
    if (line.stopped === true) return script.stopped.promise
    if (line.ignoresStop === true) return script.ignoreStop()
    for (const step of stepsOf(line)) await script.add(step)
    await tick()
  }

  #script (message: string): Script {
    let script = this.#scripts.get(message)
    if (script === undefined) this.#scripts.set(message, script = new Script())
    return script
  }
}

type Step =
  | { kind: 'yield', part: Part }
  | { kind: 'return', content: string }
  | { kind: 'throw', error: Error }
  | { kind: 'end' }

/** What one executor does. */
class Script {
  readonly stopped = deferred()
  readonly #steps: Array<{ step: Step, onTaken: () => void }> = []
  #onStep: (() => void) | undefined
  #wasCalled = false
  #ignoresStop = false

  async perform (turn: Turn): Promise<Answer> {
    if (this.#wasCalled) throw new Error(`the turn of ${turn.message} was run twice`)
    this.#wasCalled = true
    turn.signal.addEventListener('abort', () => { this.#stop() })
    const first = await this.#take()
    if (first.kind === 'return') return first.content
    if (first.kind === 'throw') throw first.error
    return this.#parts(first)
  }

  /** Settles when the executor has done it. */
  async add (step: Step): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#steps.push({ step, onTaken: resolve })
      this.#onStep?.()
    })
  }

  async ignoreStop (): Promise<void> {
    this.#ignoresStop = true
  }

  #stop (): void {
    if (!this.#ignoresStop) void this.add({ kind: 'end' })
    this.stopped.resolve()
  }

  async * #parts (first: Step): AsyncGenerator<Part> {
    for (let step = first; step.kind !== 'end'; step = await this.#take()) {
      if (step.kind === 'throw') throw step.error
      if (step.kind === 'return') throw new Error('what yields returns no string')
      yield step.part
    }
  }

  async #take (): Promise<Step> {
    while (this.#steps.length === 0) await new Promise<void>((resolve) => { this.#onStep = resolve })
    const { step, onTaken } = this.#steps.shift() ?? { step: { kind: 'end' }, onTaken () {} }
    onTaken()
    return step
  }
}

function stepsOf ({ yields = [], returns, throws, tells, ends }: AgentLine): Step[] {
  // What is no part is for the channel to find out.
  const steps: Step[] = yields.map((part) => ({ kind: 'yield', part: part as Part }))
  if (returns !== undefined) steps.push({ kind: 'return', content: returns })
  if (throws !== undefined) steps.push({ kind: 'throw', error: new Error(throws) })
  if (tells !== undefined) steps.push({ kind: 'throw', error: new AgentError(tells) })
  if (ends === true) steps.push({ kind: 'end' })
  if (steps.length === 0) throw new Error('the agent does nothing')
  return steps
}
