import { randomUUID } from 'node:crypto'

import type { Clock } from '../../clock.js'

export interface RedisPeersTools {
  /** This node's own channel. */
  channel: string
  /** Answers how many have heard it, as far as that is known. */
  publish: (channel: string, text: string) => Promise<number>
  clock: Clock
  /** What another node asks; `undefined`: there is nothing to say. */
  answer: (question: Question) => Promise<Answer | undefined>
}

export type Question =
  /** Whether a run will stop. */
  | { ask: 'stop', base: string, fence: string }
  /** How many cursors read a turn. */
  | { ask: 'readers', base: string, turnId: string }

export type Answer = number | boolean

/** What nodes ask of each other. Nobody waits for long: a node may be gone. */
export class RedisPeers {
  readonly #tools: RedisPeersTools
  readonly #asked = new Map<string, (answer: Answer) => void>()

  constructor (tools: RedisPeersTools) {
    this.#tools = tools
  }

  /**
   * Asks all who listen to a channel.
   * @param count how many answers there will be, where that is known before
   * @returns what came in time
   */
  async ask (channel: string, question: Question, timeoutMs: number, count?: number): Promise<Answer[]> {
    const { clock, publish, channel: from } = this.#tools
    const id = randomUUID()
    const answers: Answer[] = []
    let expected = count ?? Infinity
    try {
      await new Promise<void>((resolve, reject) => {
        const stop = clock.after(timeoutMs, resolve)
        const settleIfAll = (): void => {
          if (answers.length < expected) return
          stop()
          resolve()
        }
        this.#asked.set(id, (answer) => {
          answers.push(answer)
          settleIfAll()
        })
        publish(channel, JSON.stringify({ ...question, id, from })).then((heard) => {
          expected = Math.min(expected, heard)
          settleIfAll()
        }, reject)
      })
    } finally {
      this.#asked.delete(id)
    }
    return answers
  }

  /**
   * What was said to this node, or to all who listen to a session.
   * @returns whether a peer can have said it
   */
  hear (text: string): boolean {
    const said = saidBy(text)
    if (said === undefined) return false
    if ('answer' in said) {
      this.#asked.get(said.id)?.(said.answer)
      return true
    }
    const { id, from, ...question } = said
    this.#tools.answer(question).then((answer) => {
      return answer === undefined ? undefined : this.#tools.publish(from, JSON.stringify({ id, answer }))
    }).catch(() => {
      // Whoever asked does not wait for ever.
    })
    return true
  }
}

/** Questions are objects; what scripts tell is none. */
export function isSaidByPeer (text: string): boolean {
  return text.startsWith('{')
}

function saidBy (text: string): Asked | Answered | undefined {
  try {
    const said = JSON.parse(text) as Asked | Answered
    return 'answer' in said || 'ask' in said ? said : undefined
  } catch {
    return undefined
  }
}

type Asked = Question & { id: string, from: string }

interface Answered {
  id: string
  answer: Answer
}
