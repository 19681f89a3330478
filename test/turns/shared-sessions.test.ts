import t from 'tap'

import type { Journal, JournalWatcher, Run, TurnEnd } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { KEY, TurnBench } from '../helpers/turn-bench.js'

/** An engine over a journal that is shared as far as it can see, and what that tells it. */
function sharing (more: Partial<Journal>) {
  const clock = new ManualClock()
  const watchers: JournalWatcher[] = []
  const journal: Journal = Object.assign(memoryJournal({ clock }), {
    isShared: true,
    watch: (watcher: JournalWatcher) => {
      watchers.push(watcher)
      return () => {}
    }
  }, more)
  const one = new TurnBench({ [KEY.agentId]: () => 'done' }, { journal, clock })
  return { clock, one, tell: (...[news]: Parameters<JournalWatcher>) => watchers[0]?.(news) }
}

t.test('a node says what it does nothing about: what it has no agent for, and all once it drains', async (t) => {
  const { one, tell } = sharing({ salvage: () => undefined })
  const kinds = ['free', 'left', 'gone'] as const
  const answers = (agentId: string) => kinds.map((kind) => tell({ kind, key: { ...KEY, agentId }, turnId: 't' }))
  t.strictSame(answers(KEY.agentId), [true, true, true])
  t.strictSame(answers('of another version'), [false, true, true])
  const drained = one.engine.drain(0)
  await Promise.resolve()
  t.strictSame(answers(KEY.agentId), [false, false, true])
  await drained
  await one.finish(t)
})

t.test('a right to end a lost turn that comes late is used all the same', async (t) => {
  const salvaged = deferred<Run>()
  const released: Array<[string, TurnEnd]> = []
  const { one, tell, clock } = sharing({
    salvage: () => salvaged.promise,
    release ({ chat: { turnId } }, end) { released.push([turnId, end]) }
  })
  tell({ kind: 'left', key: KEY })
  clock.advance(60_000)
  salvaged.resolve({ key: KEY, chat: { turnId: 'lost', message: 'hello', acceptedAt: 0 }, text: 'part' })
  await eventually(() => released.length > 0)
  t.match(released, [['lost', { finishReason: 'error', error: { code: 'TURN_LOST' } }]])
  t.strictSame(await one.said(), [['user', 'hello', true], ['assistant', 'part', false]])
  await one.finish(t)
})
