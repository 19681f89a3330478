// What every node says, whatever carries it: the same pieces, ready in the same way.
import { setTimeout as wait } from 'node:timers/promises'

import { pieceAt, sharedNow } from '../agents.js'

export interface Asked {
  pieces: number
  /** All at once, each in a run of the event loop of its own, or one every so many milliseconds. */
  ready: 'at once' | 'one by one' | number
  /** Its turn does not end before it is cancelled. */
  isHeld?: boolean
}

/** Each piece ends with a number and this: how many were before it, or if paced when it was due, in microseconds of the machine. */
export const MARK = '|'

export function textOf (asked: Asked): string {
  return JSON.stringify(asked)
}

export function askedOf (text: string): Asked {
  return JSON.parse(text) as Asked
}

export function piecesOf ({ pieces, ready }: Asked): Iterable<string> | AsyncIterable<string> {
  if (ready === 'at once') return atOnce(pieces)
  return ready === 'one by one' ? oneByOne(pieces) : paced(pieces, ready)
}

function * atOnce (pieces: number): Generator<string> {
  for (let i = 0; i < pieces; i++) yield `${pieceAt(i)}${i}${MARK}`
}

async function * oneByOne (pieces: number): AsyncGenerator<string> {
  for (const piece of atOnce(pieces)) {
    await new Promise((resolve) => { setImmediate(resolve) })
    yield piece
  }
}

async function * paced (pieces: number, everyMs: number): AsyncGenerator<string> {
  const start = sharedNow()
  for (let i = 0; i < pieces; i++) {
    const due = start + i * everyMs
    const left = due - sharedNow()
    if (left > 0) await wait(left)
    yield `${pieceAt(i)}${Math.round(due * 1_000)}${MARK}`
  }
}
