// What every target answers: the same pieces, ready in the same way. How many is what the message says.
import { setTimeout as wait } from 'node:timers/promises'

/** Short pieces as models write them, Chinese and English. */
const WORDS = [
  '你好', ', ', 'the', ' weather', ' today', '，今天', '的天气', ' is', ' fine', '。', ' Let', ' me', ' see', '：我', '想', '一下', ' — ', 'OK', '!', '很好'
]

/** Between two pieces of a paced turn, in milliseconds. */
export const PACE_MS = 50

export function pieceAt (i: number): string {
  return WORDS[i % WORDS.length] ?? ''
}

export type AgentId = 'ready' | 'microtask' | 'immediate' | 'paced'

/** The same functions are the channel's executors and what the loops written by hand read. */
export const AGENTS: Record<AgentId, (asked: { message: string }) => Iterable<string> | AsyncIterable<string>> = {
  * ready ({ message }) {
    for (let i = 0, count = Number(message); i < count; i++) yield pieceAt(i)
  },

  async * microtask ({ message }) {
    for (let i = 0, count = Number(message); i < count; i++) {
      await Promise.resolve()
      yield pieceAt(i)
    }
  },

  async * immediate ({ message }) {
    for (let i = 0, count = Number(message); i < count; i++) {
      await new Promise((resolve) => { setImmediate(resolve) })
      yield pieceAt(i)
    }
  },

  /** Each piece begins with the time at which it is due, in milliseconds of the clock that all processes share. */
  async * paced ({ message }) {
    const start = sharedNow()
    for (let i = 0, count = Number(message); i < count; i++) {
      const due = start + i * PACE_MS
      const left = due - sharedNow()
      if (left > 0) await wait(left)
      yield `${due.toFixed(3)}|${pieceAt(i)}`
    }
  }
}

/** Milliseconds of the machine's monotonic clock. */
export function sharedNow (): number {
  return Number(process.hrtime.bigint()) / 1e6
}
