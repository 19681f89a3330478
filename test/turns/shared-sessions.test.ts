import t from 'tap'

import type { Journal, JournalWatcher } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { KEY, TurnBench } from '../helpers/turn-bench.js'

t.test('a node says what it does nothing about: what it has no agent for, and all once it drains', async (t) => {
  const clock = new ManualClock()
  const watchers: JournalWatcher[] = []
  const journal: Journal = Object.assign(memoryJournal({ clock }), {
    isShared: true,
    salvage: () => undefined,
    watch: (watcher: JournalWatcher) => {
      watchers.push(watcher)
      return () => {}
    }
  })
  const one = new TurnBench({ [KEY.agentId]: () => 'done' }, { journal, clock })
  const kinds = ['free', 'left', 'gone'] as const
  const answers = (agentId: string) => kinds.map((kind) => watchers[0]?.({ kind, key: { ...KEY, agentId }, turnId: 't' }))
  t.strictSame(answers(KEY.agentId), [true, true, true])
  t.strictSame(answers('of another version'), [false, true, true])
  const drained = one.engine.drain(0)
  await Promise.resolve()
  t.strictSame(answers(KEY.agentId), [false, false, true])
  await drained
  await one.finish(t)
})
