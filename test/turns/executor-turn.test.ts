import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'

import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import { ExecutorTurn } from '../../lib/turns/executor-turn.js'
import { deferred } from '../helpers/deferred.js'
import { recordingLog } from '../helpers/recording-log.js'
import { CHAT, KEY } from './one-chat.js'

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

function executorTurn (rest: { metadata?: Record<string, unknown>, context?: unknown } = {}): ExecutorTurn {
  return new ExecutorTurn(KEY, { ...CHAT, ...rest }, memorySessionStore(), recordingLog())
}

function said (turnId: string) {
  return { role: 'user', content: turnId, turnId, at: 0, complete: true } as const
}
