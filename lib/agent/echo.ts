import type { Executor } from './executor.js'

/** The agent of a channel that was given none: says the message again, in pieces as a model would. */
export const echo: Executor = function * (turn) {
  const words = new Intl.Segmenter(undefined, { granularity: 'word' })
  for (const { segment } of words.segment(turn.message)) yield segment
}
