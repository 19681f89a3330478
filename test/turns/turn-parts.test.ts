import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'

import { AgentError } from '../../lib/agent/executor.js'
import { MERGE_UNITS } from '../../lib/journal/turn-text.js'
import type { Entry, Journal, NewEntry, Run, TurnCursor } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import { AnswerRecord } from '../../lib/turns/answer-record.js'
import { ExecutorTurn } from '../../lib/turns/executor-turn.js'
import { TurnFollower } from '../../lib/turns/follow.js'
import { JournalWriter } from '../../lib/turns/journal-writer.js'
import { LiveTurns } from '../../lib/turns/live-turns.js'
import { PieceJoiner } from '../../lib/turns/piece-joiner.js'
import { failedEnd, thrownEnd } from '../../lib/turns/turn-end.js'
import { transition, type TurnEvent, type TurnState } from '../../lib/turns/turn.js'
import { toError, within } from '../../lib/turns/within.js'
import { deferred } from '../helpers/deferred.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { recordingLog } from '../helpers/recording-log.js'
import { SlowJournal } from '../helpers/slow-journal.js'

const KEY = { owner: 'ann', agentId: 'main', sessionId: 's' }
const CHAT = { turnId: 't1', message: 'hello', acceptedAt: 0 }
const [HIGH, LOW] = ['\ud83d', '\ude00']

await t.test('the life of a turn', async (t) => {
  await t.test('goes one way, and the first to stop it wins', async (t) => {
    const states: TurnState[] = ['starting', 'streaming', 'ending', 'ended']
    const events: TurnEvent[] = ['part', 'stop', 'end-written']
    const table = states.map((state) => [state, ...events.map((event) => transition(state, event))])
    t.strictSame(table, [
      ['starting', 'streaming', 'ending', undefined],
      ['streaming', 'streaming', 'ending', undefined],
      ['ending', undefined, undefined, 'ended'],
      ['ended', undefined, undefined, undefined]
    ])
  })

  await t.test('that failed has a code, and a text only where there is one', async (t) => {
    t.strictSame(failedEnd('INTERNAL'), { finishReason: 'error', error: { code: 'INTERNAL' } })
    t.strictSame(failedEnd('AGENT_ERROR', ''), { finishReason: 'error', error: { code: 'AGENT_ERROR', text: '' } })
  })
})

await t.test('pieces of text', async (t) => {
  await t.test('pass as they are', async (t) => {
    t.strictSame(join('a', '', 'b', '😀'), ['a', '', 'b', '😀', ''])
  })

  await t.test('that cut a character in two are joined', async (t) => {
    t.strictSame(join(HIGH, LOW), ['', '😀', ''])
    t.strictSame(join(`a${HIGH}`, '', `${LOW}b`), ['a', '', '😀b', ''])
    t.strictSame(join(HIGH, `${LOW}${HIGH}`, LOW), ['', '😀', '😀', ''])
  })

  await t.test('with half a character that stays alone have U+FFFD for it', async (t) => {
    t.strictSame(join(LOW), ['\ufffd', ''])
    t.strictSame(join(`a${HIGH}`, 'b'), ['a', '\ufffdb', ''])
    t.strictSame(join(HIGH, HIGH, LOW), ['', '\ufffd', '😀', ''])
    t.strictSame(join(`a${HIGH}`), ['a', '\ufffd'])
  })

  await t.test('give their rest once', async (t) => {
    const joiner = new PieceJoiner()
    joiner.take(HIGH)
    t.strictSame([joiner.rest(), joiner.rest(), joiner.take(LOW)], ['\ufffd', '', '\ufffd'])
  })

  await t.test('cut anywhere add up to the same text', async (t) => {
    const whole = `x😀${HIGH}y👩‍👧${LOW}z😀`
    for (let size = 1; size <= whole.length; size++) {
      const pieces: string[] = []
      for (let from = 0; from < whole.length; from += size) pieces.push(whole.slice(from, from + size))
      const joined = join(...pieces)
      t.equal(joined.join(''), whole.toWellFormed())
      t.ok(joined.every((piece) => piece.isWellFormed()))
    }
  })
})

await t.test('the record of an answer', async (t) => {
  await t.test('is the text, where there is nothing else', async (t) => {
    t.equal(recordOf('hello').answer(), 'hello')
    t.equal(recordOf('').answer(), '')
  })

  await t.test('has whole messages as paragraphs where they came', async (t) => {
    const record = recordOf('ab😀c')
    record.keepMessage('M0')
    record.join('ab')
    record.join(HIGH)
    record.keepMessage('M1')
    record.keepMessage('M2')
    record.join(LOW)
    record.keepMessage('')
    record.join('c')
    record.keepMessage('M3')
    t.equal(record.answer(), 'M0\n\nab\n\nM1\n\nM2\n\n😀\n\nc\n\nM3')
  })

  await t.test('is a whole answer', async (t) => {
    const record = recordOf('')
    record.keepWhole('all')
    t.equal(record.answer(), 'all')
  })

  await t.test('counts bytes of UTF-8, and nothing that had no room', async (t) => {
    const record = recordOf('', 10)
    t.strictSame(['äöü', 'abcde', 'abcd', '', 'a'].map((text) => record.hasRoomFor(text)), [true, false, true, true, false])
  })
})

await t.test('a writer', async (t) => {
  await t.test('writes at once where the journal answers at once', async (t) => {
    const { run, journal } = await taken(memoryJournal())
    const writer = new JournalWriter(journal, run, fail)
    writeOne(writer, text('a'))
    t.equal(writer.settle(), undefined)
    t.equal(run.text.toString(), 'a')
    await writer.settled()
  })

  await t.test('gathers for the next append while one is in flight', async (t) => {
    const journal = new SlowJournal()
    const { run } = await taken(journal)
    const writer = new JournalWriter(journal, run, fail)
    writeOne(writer, text('a'))
    for (const content of ['b', 'c', 'd']) writeOne(writer, text(content))
    const gate = deferred()
    journal.before = (_, count) => count === 2 ? gate.promise : undefined
    await tick()
    await tick()
    writeOne(writer, text('e'))
    gate.resolve()
    await writer.settled()
    t.strictSame(journal.batches, [1, 3, 1])
    t.equal(run.text.toString(), 'abcde')
    t.equal(writer.settle(), undefined)
  })

  await t.test('writes in one append what came at once', async (t) => {
    const journal = new SlowJournal()
    const { run } = await taken(journal)
    const writer = new JournalWriter(journal, run, fail)
    for (const content of ['a', 'b', 'c']) writer.add(text(content))
    t.equal(run.text.toString(), '')
    await writer.settle()
    t.strictSame(journal.batches, [3])
    t.equal(run.text.toString(), 'abc')
  })

  await t.test('is full when more has gathered than a run may leave in memory, of whatever kind', async (t) => {
    const journal = new SlowJournal()
    const { run } = await taken(journal)
    for (const [entry, count] of [
      [text('x'.repeat(32 * 1024)), 2],
      [{ kind: 'message', content: 'x'.repeat(32 * 1024) }, 2],
      // Events counted 64 units each, however much data they had: 1,024 of them could be hundreds of megabytes.
      [{ kind: 'event', name: 'x', json: 'x'.repeat(32 * 1024) }, 2],
      [{ kind: 'event', name: 'x', json: '1' }, 1_024]
    ] satisfies Array<[NewEntry, number]>) {
      const writer = new JournalWriter(journal, run, fail)
      writeOne(writer, entry)
      t.notOk(writer.isFull)
      for (let gathered = 0; gathered < count; gathered++) writeOne(writer, entry)
      t.notOk(writer.isFull)
      writeOne(writer, entry)
      t.ok(writer.isFull)
    }
  })

  for (const [how, answer] of [
    ['rejects', async () => { throw new Error('no disk') }],
    ['throws', () => { throw new Error('no disk') }],
    ['throws no Error', () => { throw 'no disk' as unknown as Error }],
    ['answers false', () => false],
    ['answers false later', async () => false]
  ] as const) {
    await t.test(`fails once and for good when an append ${how}`, async (t) => {
      const { run, journal } = await taken(memoryJournal())
      let appends = 0
      const append: Journal['append'] = () => { appends++; return answer() }
      const failures: Error[] = []
      const writer: JournalWriter = new JournalWriter({ ...journal, append }, run, (err) => {
        failures.push(err)
        writeOne(writer, text('from inside'))
      })
      writeOne(writer, text('a'))
      writeOne(writer, text('b'))
      await writer.settled()
      writeOne(writer, text('c'))
      await writer.settled()
      t.equal(appends, 1)
      t.ok(writer.hasFailed)
      t.match(failures, [{ message: /no disk|the right to run this turn is gone/ }])
      t.equal(failures.length, 1)
    })
  }

  await t.test('fails when a later append of what has gathered does', async (t) => {
    const journal = new SlowJournal()
    const { run } = await taken(journal)
    const failures: Error[] = []
    const writer = new JournalWriter(journal, run, (err) => { failures.push(err) })
    journal.before = (_, count): undefined => { if (count === 2) throw new Error('no disk') }
    for (const content of ['a', 'b', 'c']) writeOne(writer, text(content))
    await writer.settled()
    t.match(failures, [{ message: 'no disk' }])
    t.equal(run.text.toString(), 'a')
    t.notOk(writer.isFull)
  })

  function writeOne (writer: JournalWriter, entry: NewEntry): void {
    writer.add(entry)
    writer.flush()
  }

  function fail (err: Error): void {
    throw err
  }
})

await t.test('a turn as its executor sees it', async (t) => {
  await t.test('tells what the chat said', async (t) => {
    const turn = executorTurn({ metadata: { a: 1 }, context: { plan: 'free' } })
    const { id, agentId, sessionId, owner, context, message, metadata } = turn
    t.strictSame({ id, agentId, sessionId, owner, context, message, metadata }, {
      id: 't1', ...KEY, context: { plan: 'free' }, message: 'hello', metadata: { a: 1 }
    })
    t.equal(executorTurn().metadata, undefined)
  })

  await t.test('has a log with its names bound', async (t) => {
    const log = recordingLog()
    const turn = new ExecutorTurn(KEY, CHAT, memorySessionStore(), log)
    t.equal(turn.log, turn.log)
    turn.log.info({ more: 1 }, 'said')
    t.strictSame(log.lines, [{ level: 'info', fields: { agentId: 'main', sessionId: 's', turnId: 't1', more: 1 }, text: 'said' }])
  })

  await t.test('has a signal that fires with the reason, whether it was asked for before or after', async (t) => {
    const reason = new Error('cancelled')
    const [before, after] = [executorTurn(), executorTurn()]
    const { signal } = before
    t.notOk(signal.aborted)
    before.abort(reason)
    after.abort(reason)
    t.strictSame([signal.reason, before.signal, after.signal.aborted], [reason, signal, true])
    t.equal(after.signal.reason, reason)
  })

  await t.test('remembers what was said before it, not its own question', async (t) => {
    const store = memorySessionStore()
    const turn = new ExecutorTurn(KEY, CHAT, store, recordingLog())
    t.strictSame(await turn.history(), [])
    for (let count = 0; count < 60; count++) store.append(KEY, [said(`old${count}`)])
    t.equal((await turn.history()).length, 50, 'before the question was kept')
    store.append(KEY, [said('t1')])
    const history = await turn.history()
    t.strictSame([history.length, history[0]?.turnId, history.at(-1)?.turnId], [50, 'old10', 'old59'])
    t.strictSame((await turn.history({ limit: 2 })).map(({ turnId }) => turnId), ['old58', 'old59'])
    t.strictSame(await turn.history({ limit: 0 }), [])
  })

  await t.test('rejects when its history cannot be read', async (t) => {
    const store = { ...memorySessionStore(), messages () { throw new Error('no disk') } }
    await t.rejects(new ExecutorTurn(KEY, CHAT, store, recordingLog()).history(), { message: 'no disk' })
  })

  await t.test('waits for a promise, and says so while it does', async (t) => {
    const turn = executorTurn()
    const [one, two] = [deferred<string>(), deferred<string>()]
    const waiting = [turn.waitFor(one.promise), turn.waitFor(two.promise)]
    const rejected = t.rejects(Promise.resolve(waiting[1]), { message: 'denied' })
    t.equal(turn.waiting, 2)
    one.resolve('approved')
    t.equal(await waiting[0], 'approved')
    t.equal(turn.waiting, 1)
    two.reject(new Error('denied'))
    await rejected
    t.equal(turn.waiting, 0)
  })

  await t.test('stops waiting when it is stopped', async (t) => {
    const turn = executorTurn()
    const waiting = t.rejects(turn.waitFor(new Promise(() => {})), { message: 'cancelled' })
    turn.abort(new Error('cancelled'))
    await waiting
    t.equal(turn.waiting, 0)
  })

  await t.test('does not wait when it was stopped before', async (t) => {
    const turn = executorTurn()
    turn.abort(new Error('cancelled'))
    await t.rejects(turn.waitFor(new Promise(() => {})), { message: 'cancelled' })
    t.equal(turn.waiting, 0)
  })

  await t.test('takes care of a rejection that nobody waits for any more', async (t) => {
    // What was given to waitFor after the stop was left alone: its rejection ended the host's process.
    const unhandled: unknown[] = []
    const listener = (reason: unknown): void => { unhandled.push(reason) }
    process.on('unhandledRejection', listener)
    const [before, after] = [executorTurn(), executorTurn()]
    const [one, two] = [deferred(), deferred()]
    const waiting = [t.rejects(before.waitFor(one.promise), { message: 'cancelled' })]
    before.abort(new Error('cancelled'))
    after.abort(new Error('cancelled'))
    waiting.push(t.rejects(after.waitFor(two.promise), { message: 'cancelled' }))
    await Promise.all(waiting)
    one.reject(new Error('late'))
    two.reject(new Error('late'))
    await tick()
    await tick()
    process.off('unhandledRejection', listener)
    t.strictSame(unhandled, [])
  })
})

await t.test('a follower', async (t) => {
  await t.test('gives entries one by one to a reader that keeps up', async (t) => {
    const { follower } = following([textEntry(1, 'a'), textEntry(2, 'b'), undefined, end(3)])
    t.match([follower.next(false), follower.next(false), follower.next(false), follower.next(false)], [
      { seq: 1 }, { seq: 2 }, undefined, { seq: 3 }
    ])
  })

  await t.test('merges neighbouring text for a reader that is behind, never across anything else', async (t) => {
    const entries: Entry[] = [
      textEntry(1, 'a'), textEntry(2, 'b'), { kind: 'event', name: 'x', json: '1', turnId: 't1', seq: 3 }, textEntry(4, 'c'),
      { kind: 'message', content: 'M', turnId: 't1', seq: 5 }, textEntry(6, 'd'), textEntry(7, 'e'), end(8)
    ]
    const { follower } = following([...entries])
    const seen = Array.from({ length: 7 }, () => follower.next(true))
    t.strictSame(seen, [
      textEntry(2, 'ab'), entries[2], textEntry(4, 'c'), entries[4], textEntry(7, 'de'), entries[7], undefined
    ])
  })

  await t.test('never merges text of two turns', async (t) => {
    // Neighbouring pieces became one, of the first turn, whosever they were.
    const other: Entry = { ...textEntry(2, 'b'), turnId: 't2' }
    const { follower } = following([textEntry(1, 'a'), other, textEntry(3, 'c')])
    t.strictSame([follower.next(true), follower.next(true), follower.next(true)], [textEntry(1, 'a'), other, textEntry(3, 'c')])
  })

  await t.test('merges no more than one step', async (t) => {
    const half = 'x'.repeat(Math.ceil(MERGE_UNITS / 2))
    const { follower } = following([textEntry(1, half), textEntry(2, half), textEntry(3, 'y'), textEntry(4, half.repeat(4)), textEntry(5, 'z')])
    const seen = Array.from({ length: 4 }, () => follower.next(true))
    t.match(seen, [{ seq: 1 }, { seq: 3 }, { seq: 4 }, { seq: 5 }])
    t.strictSame(seen.map((entry) => lengthOf(entry)), [half.length, half.length + 1, half.length * 4, 1])
  })

  await t.test('holds what it read too far, also for a reader that has caught up', async (t) => {
    const { follower } = following([textEntry(1, 'a'), end(2)])
    t.match([follower.next(true), follower.next(false), follower.next(false)], [{ content: 'a' }, { kind: 'end' }, undefined])
  })

  await t.test('says when the rest is lost, after what came before', async (t) => {
    const { follower } = following([textEntry(1, 'a'), 'lost', 'lost'])
    t.match([follower.next(true), follower.next(true), follower.next(true)], [{ content: 'a' }, 'lost', 'lost'])
  })

  await t.test('tells an end that its journal could not be told, after what is there, and once', async (t) => {
    let wakes = 0
    const { follower } = following([textEntry(1, 'a'), textEntry(2, 'b')], () => { wakes++ })
    follower.endUnwritten(failedEnd('STORE_UNAVAILABLE'))
    t.equal(wakes, 1)
    t.match([follower.next(true), follower.next(true), follower.next(true)], [
      { content: 'ab' }, { kind: 'end', turnId: 't1', end: { error: { code: 'STORE_UNAVAILABLE' } } }, undefined
    ])
  })

  await t.test('tells that end also where the rest is lost', async (t) => {
    const { follower } = following(['lost', 'lost'])
    follower.endUnwritten(failedEnd('STORE_UNAVAILABLE'))
    t.match([follower.next(false), follower.next(false)], [{ kind: 'end' }, undefined])
  })

  await t.test('tells one end, when the journal had written it and then failed to say so', async (t) => {
    // It gave the journal's end, and then the unwritten one too.
    const { follower } = following([end(1)])
    follower.endUnwritten(failedEnd('STORE_UNAVAILABLE'))
    t.match([follower.next(false), follower.next(false), follower.next(true)], [{ end: { finishReason: 'stop' } }, undefined, undefined])
    const other = following([undefined, end(1)])
    other.follower.endUnwritten(failedEnd('STORE_UNAVAILABLE'))
    t.match([other.follower.next(false), other.follower.next(false)], [{ end: { finishReason: 'error' } }, undefined])
  })

  await t.test('knows the text, and closes its cursor', async (t) => {
    const { follower, cursor } = following([])
    t.equal(follower.text(), 'whole')
    follower.close()
    t.ok(cursor.isClosed)
  })
})

await t.test('live turns', async (t) => {
  await t.test('are bounded in all, by owner and by bytes, and make room when they leave', async (t) => {
    const live = new LiveTurns({ maxTurns: 3, maxTurnsPerOwner: 2, maxQueuedBytes: 100 })
    const bob = { ...KEY, owner: 'bob' }
    t.ok(live.enter(KEY, 10))
    t.ok(live.enter(KEY, 10))
    t.notOk(live.enter(KEY, 10), 'too many of the owner')
    t.notOk(live.enter(bob, 81), 'too many bytes')
    t.ok(live.enter(bob, 80))
    live.leave(bob, 80)
    t.ok(live.enter(bob, 0))
    t.notOk(live.enter({ ...KEY, owner: 'cat' }, 0), 'too many in all')
    live.leave(KEY, 10)
    t.ok(live.enter(KEY, 90))
    t.equal(live.count, 3)
    for (const [key, bytes] of [[KEY, 90], [KEY, 10], [bob, 0]] as const) live.leave(key, bytes)
    t.equal(live.count, 0)
  })

  await t.test('of anonymous owners are bounded in all only', async (t) => {
    const live = new LiveTurns({ maxTurns: 3, maxTurnsPerOwner: 1, maxQueuedBytes: 100 })
    const anonymous = { ...KEY, owner: 'anonymous' }
    t.strictSame([1, 2, 3, 4].map(() => live.enter(anonymous, 0)), [true, true, true, false])
  })
})

await t.test('within a time', async (t) => {
  await t.test('what is there needs no timer', async (t) => {
    const clock = new ManualClock()
    const value = within(clock, 10, 'it', 5)
    t.equal(clock.pending, 0)
    t.equal(await value, 5)
  })

  await t.test('what comes in time is there, and its timer gone', async (t) => {
    const clock = new ManualClock()
    const [value, failure] = [deferred<number>(), deferred<number>()]
    const waiting = [within(clock, 10, 'it', value.promise), within(clock, 10, 'it', failure.promise)] as const
    clock.advance(9)
    value.resolve(5)
    failure.reject('no Error' as unknown as Error)
    t.equal(await waiting[0], 5)
    await t.rejects(waiting[1], { message: 'not an Error was thrown: no Error', cause: 'no Error' })
    t.equal(clock.pending, 0)
  })

  await t.test('what comes too late is given to whoever can take it back', async (t) => {
    const clock = new ManualClock()
    const [value, failure] = [deferred<number>(), deferred<number>()]
    const late: number[] = []
    const rejected = [value, failure].map(({ promise }) => t.rejects(within(clock, 10, 'it', promise, (came) => { late.push(came) }), { message: 'it took longer than 10 ms' }))
    clock.advance(10)
    await Promise.all(rejected)
    value.resolve(5)
    failure.reject(new Error('late'))
    await tick()
    t.strictSame(late, [5])
  })

  await t.test('what comes later is an error that names it', async (t) => {
    const clock = new ManualClock()
    const rejected = t.rejects(within(clock, 10, 'the disk', new Promise(() => {})), { message: 'the disk took longer than 10 ms' })
    clock.advance(10)
    await rejected
  })
})

await t.test('whatever is thrown becomes an Error', async (t) => {
  const error = new Error('x')
  t.equal(toError(error), error)
  for (const [thrown, message] of [
    ['text', 'not an Error was thrown: text'],
    [undefined, 'not an Error was thrown: undefined'],
    [Symbol('s'), 'not an Error was thrown: Symbol(s)'],
    [{ code: 'E1' }, "not an Error was thrown: { code: 'E1' }"],
    // These two made toError itself throw: the turn of an executor that threw one went on without an end.
    [Object.create(null), 'not an Error was thrown: [Object: null prototype] {}'],
    [{ toString () { throw new Error('trap') } }, 'not an Error was thrown: { toString: [Function: toString] }']
  ] as Array<[unknown, string]>) {
    const made = toError(thrown)
    t.equal(made.message, message)
    t.equal(made.cause, thrown)
  }
})

function join (...pieces: string[]): string[] {
  const joiner = new PieceJoiner()
  return [...pieces.map((piece) => joiner.take(piece)), joiner.rest()]
}

function recordOf (text: string, maxBytes = 1_000): AnswerRecord {
  return new AnswerRecord({ key: KEY, chat: CHAT, text }, maxBytes)
}

function text (content: string): NewEntry {
  return { kind: 'text', content }
}

async function taken (journal: Journal): Promise<{ journal: Journal, run: Run }> {
  await journal.offer(KEY, CHAT, { onBusy: 'queue', maxQueued: 1, displacedEnd: { finishReason: 'aborted' } })
  const run = await journal.take(KEY, () => true)
  if (run === undefined) throw new Error('nothing to take')
  return { journal, run }
}

function executorTurn (rest: { metadata?: Record<string, unknown>, context?: unknown } = {}): ExecutorTurn {
  return new ExecutorTurn(KEY, { ...CHAT, ...rest }, memorySessionStore(), recordingLog())
}

function said (turnId: string) {
  return { role: 'user', content: turnId, turnId, at: 0, complete: true } as const
}

function textEntry (seq: number, content: string): Entry {
  return { kind: 'text', content, turnId: 't1', seq }
}

function end (seq: number): Entry {
  return { kind: 'end', end: { finishReason: 'stop' }, turnId: 't1', seq }
}

function lengthOf (entry: Entry | 'lost' | undefined): number {
  return entry !== undefined && entry !== 'lost' && entry.kind === 'text' ? entry.content.length : -1
}

function following (
  entries: Array<Entry | 'lost' | undefined>, wake = (): void => {}
): { follower: TurnFollower, cursor: TurnCursor & { isClosed: boolean } } {
  const cursor = {
    isClosed: false,
    next: () => entries.shift(),
    text: () => 'whole',
    close () { cursor.isClosed = true }
  }
  return { follower: new TurnFollower(cursor, 't1', wake), cursor }
}

t.test('the text of an agent\'s error goes out up to 1,000 characters, and never half a character', (t) => {
  const { end } = thrownEnd(new AgentError(`${'x'.repeat(999)}😀`))
  t.strictSame(end, { finishReason: 'error', error: { code: 'AGENT_ERROR', text: `${'x'.repeat(999)}\ufffd` } })
  t.end()
})
