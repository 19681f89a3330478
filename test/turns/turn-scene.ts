import type { Test } from 'tap'

import type { Executor } from '../../lib/agent/executor.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { TurnBench, type BenchOptions, type JOURNALS, type Reader } from '../helpers/turn-bench.js'

/** Engines over new journals of one of the two kinds. */
export function turnScene (makeJournal: typeof JOURNALS[number][1]): TurnScene {
  const bench: TurnScene['bench'] = (executor, options = {}) => {
    const clock = options.clock ?? new ManualClock()
    return new TurnBench(executor, { journal: makeJournal({ clock }), ...options, clock })
  }
  return {
    bench,
    async turn (t, executor, options = {}) {
      const one = bench(executor, options)
      const reader = await one.start()
      await reader.ended.promise
      await one.finish(t)
      return { bench: one, reader }
    }
  }
}

/** A store of which some methods are others. */
export function storeWith (store: SessionStore, methods: Partial<SessionStore>): SessionStore {
  return {
    append: store.append.bind(store),
    messages: store.messages.bind(store),
    turn: store.turn.bind(store),
    list: store.list.bind(store),
    delete: store.delete.bind(store),
    ...methods
  }
}

interface TurnScene {
  bench: (executor: Executor, options?: BenchOptions<ManualClock>) => TurnBench
  /** One turn, from its chat to its end. */
  turn: (t: Test, executor: Executor, options?: BenchOptions<ManualClock>) => Promise<{ bench: TurnBench, reader: Reader }>
}
