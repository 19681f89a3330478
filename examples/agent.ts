// A part of examples/server.ts: an agent that needs no network and is still worth talking to, in English and Chinese.
//
// Try: my name is Ada · what is my name? · where is order 2? · 12 * 12 · what time is it? · count to 20 · 我叫小明 · 我叫什么名字?
import { setTimeout as pause } from 'node:timers/promises'

import type { Executor } from '../lib/index.js'
import { nameAmong, recall } from './agent-memory.js'
import { lookUp } from './agent-skills.js'
import { smallTalk } from './agent-small-talk.js'
import type { Order } from './orders.js'

export interface OfflineAgentOptions {
  /** What the REST API shows, too: an agent is most useful beside the data of its API. */
  orders: readonly Order[]
  /** The mean time between two words. */
  pauseMs?: number
  now?: () => Date
}

export function offlineAgent ({ orders, pauseMs = 35, now = () => new Date() }: OfflineAgentOptions): Executor {
  return async function * (turn) {
    // Cut short, since a regular expression may take the square of a message's length.
    const message = turn.message.slice(0, 1000)
    const earlier = (await turn.history({ limit: 200 })).map((said) => ({ ...said, content: said.content.slice(0, 1000) }))
    const remembered = recall(message, earlier)
    const found = remembered === undefined ? lookUp(message, { orders, now: now() }) : undefined
    // Neither text nor an end: a client that gives its chats an id can show that something was looked up.
    if (found !== undefined) yield { type: 'event', name: 'tool-output', data: { tool: 'look-up', found } }
    const answer = remembered ?? found ?? smallTalk(message, { name: nameAmong(earlier), turns: Math.floor(earlier.length / 2) })

    for (const piece of words(answer)) {
      yield piece
      // Rejects when nobody wants the rest: the generator ends here, and with it the work.
      await pause(pauseMs * (0.5 + Math.random()), undefined, { signal: turn.signal })
    }
  }
}

/** Chinese is written without spaces: only a segmenter knows its words. */
const segmenter = new Intl.Segmenter(['zh', 'en'], { granularity: 'word' })

function * words (text: string) {
  let piece = ''
  for (const { segment, isWordLike } of segmenter.segment(text)) {
    if (isWordLike && piece !== '') {
      yield piece
      piece = ''
    }
    piece += segment
  }
  yield piece
}
