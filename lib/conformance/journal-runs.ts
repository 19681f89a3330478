import assert from 'node:assert/strict'

import { times, together } from './conformance-case.js'
import { ABORTED, END, event, key, message, S, STOP, text, type JournalCase } from './journal-bench.js'
import { assertContiguous, short, textOf, told } from './journal-reader.js'

/** How entries come into the journal: sentences 1, 4 to 6, 14 and 17. */
export const RUNS: readonly JournalCase[] = [
  {
    must: [1],
    title: 'entries are numbered from 1 on without holes, over all that writes, in one epoch',
    async run (bench) {
      const first = await bench.accepted('t1')
      assert.equal(first.seq, 0)
      const reader = await bench.followAll(first.epoch)
      const run = await bench.take()
      await bench.accepted('t2')
      await bench.append(run, 1, [text('a'), message('b'), event('x')])
      await bench.journal.withdraw(S, 't2', ABORTED)
      const published = await bench.peer.publish(S, 'news', '{}')
      await bench.finish(run, 2)
      const third = await bench.accepted('t3')
      await bench.journal.release(await bench.take(), ABORTED)
      const entries = await reader.untilEnd('t3')
      assertContiguous(entries, 1)
      assert.deepEqual(entries.map(told), [
        't1 turn-started', 't1 a', 't1 b', 't1 x', 't2 end aborted', '- news', 't1 end stop', 't3 turn-started', 't3 end aborted'
      ])
      assert.deepEqual([published, third.epoch, third.seq], [{ epoch: first.epoch, seq: 6 }, first.epoch, 7])
      assert.equal((await bench.accepted('t1', { of: key('other') })).seq, 0)
    }
  },
  {
    must: [1],
    title: 'a session that was forgotten has a new epoch, and begins at 1',
    async run (bench) {
      const first = await bench.accepted('t1')
      await bench.drain()
      await bench.journal.forget(S)
      const second = await bench.accepted('t2')
      assert.notEqual(second.epoch, first.epoch)
      assert.equal(second.seq, 0)
      await bench.drain()
      assertContiguous(await (await bench.followAll(second.epoch)).untilEnd(), 1)
    }
  },
  {
    must: [1],
    title: 'a session that nobody used for long goes on, or has a new epoch',
    limits: { maxAgeMs: 'window', maxSessions: 2 },
    async run (bench) {
      const publish = () => bench.journal.publish(S, 'news', '{}')
      let last = await publish()
      const pauses = [
        () => undefined,
        () => bench.advance(3 * bench.windowMs),
        async () => { for (let index = 0; index < 6; index++) await bench.play(`t${index}`, 1, { of: key(`other${index}`) }) }
      ]
      for (const pause of pauses) {
        await pause()
        const next = await publish()
        assert.deepEqual(next, next.epoch === last.epoch ? { epoch: last.epoch, seq: last.seq + 1 } : { epoch: next.epoch, seq: 1 })
        last = next
      }
    }
  },
  {
    must: [4],
    title: 'append refuses for a run that was released, and for one that has written its end',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const released = await bench.take()
      await bench.journal.release(released, ABORTED)
      assert.equal(await bench.journal.append(released, 1, [text('late')]), false)
      const ended = await bench.begin('t2')
      await bench.append(ended, 1, [text('a'), END])
      assert.equal(await bench.journal.append(ended, 2, [text('late')]), false)
      await bench.journal.release(ended, ABORTED)
      assert.equal(await bench.journal.append(ended, 3, [text('late')]), false)
      const next = await bench.begin('t3')
      assert.equal(await bench.journal.append(ended, 4, [text('late')]), false)
      assert.equal(await bench.journal.append(released, 2, [END]), false)
      await bench.finish(next)
      const entries = await (await bench.followAll(epoch)).untilEnd('t3')
      assert.deepEqual(entries.map(told), [
        't1 turn-started', 't1 end aborted', 't2 turn-started', 't2 a', 't2 end stop', 't3 turn-started', 't3 end stop'
      ])
    }
  },
  {
    must: [4],
    title: 'append refuses for a run whose session was forgotten, whoever runs there now',
    async run (bench) {
      const run = await bench.begin('t1')
      await bench.journal.forget(S)
      assert.equal(await bench.journal.append(run, 1, [text('late')]), false)
      const { epoch } = await bench.accepted('t2')
      const next = await bench.take()
      assert.equal(await bench.journal.append(run, 2, [text('late')]), false)
      await bench.journal.release(run, ABORTED)
      await bench.finish(next)
      const entries = await (await bench.followAll(epoch)).untilEnd()
      assert.deepEqual(entries.map(told), ['t2 turn-started', 't2 end stop'])
    }
  },
  {
    must: [4, 5],
    title: 'of two that append at once, one released and one that has the right, only the latter writes',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const old = await bench.take()
      await bench.accepted('t2')
      await bench.journal.release(old, ABORTED)
      const run = await bench.take()
      const answers = await together(...times(10, (index) => [
        () => bench.journal.append(old, index + 1, [text('late')]),
        () => bench.journal.append(run, index + 1, [text('a'), event('x'), text('b')])
      ]).flat())
      assert.deepEqual(answers, times(10, () => [false, true]).flat())
      await bench.finish(run)
      const entries = await (await bench.followAll(epoch)).untilEnd('t2')
      assert.deepEqual(entries.slice(3, -1).map(told), times(10, () => ['t2 a', 't2 x', 't2 b']).flat())
    }
  },
  {
    must: [5],
    title: 'append refuses entries that an end is not the last of, whole',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const run = await bench.take()
      assert.equal(await bench.journal.append(run, 1, [text('a'), END, text('b')]), false)
      await bench.append(run, 1, [text('c'), END])
      const entries = await (await bench.followAll(epoch)).untilEnd()
      assert.deepEqual(entries.map(told), ['t1 turn-started', 't1 c', 't1 end stop'])
    }
  },
  {
    must: [5],
    title: 'append writes its entries in order and next to each other, also where others are published at once',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const run = await bench.take()
      await together<unknown>(...times(8, (batch) => [
        () => bench.journal.append(run, batch + 1, times(6, (index) => index % 2 === 0 ? text(`${batch}.${index}`) : event(`${batch}.${index}`))),
        () => bench.peer.publish(S, 'news', '{}')
      ]).flat())
      await bench.finish(run)
      const entries = await (await bench.followAll(epoch)).untilEnd()
      assertContiguous(entries, 1)
      const names = entries.map(short)
      for (let batch = 0; batch < 8; batch++) {
        const start = names.indexOf(`${batch}.0`)
        assert.deepEqual(names.slice(start, start + 6), times(6, (index) => `${batch}.${index}`))
      }
      assert.equal(names.length, 1 + 8 * 6 + 8 + 1)
    }
  },
  {
    must: [4, 5, 14],
    title: 'an append while its run is released is written whole before the end, or not at all',
    async run (bench) {
      for (const of of times(20, (round) => key(`s${round}`))) {
        const { epoch } = await bench.accepted('t1', { of })
        const run = await bench.take(of)
        const calls = times(5, (index) => () => bench.journal.append(run, index + 1, [text(`${index}a`), event('x'), text(`${index}b`)]))
        const [answers] = await Promise.all([together(...calls), together(() => bench.journal.release(run, ABORTED))])
        const entries = await (await bench.followAll(epoch, of)).untilEnd()
        const written = answers.flatMap((isWritten, index) => isWritten ? [`${index}a`, 'x', `${index}b`] : [])
        assert.deepEqual(entries.map(short), ['turn-started', ...written, 'end aborted'])
      }
    }
  },
  {
    must: [6],
    title: 'a batch that was appended already writes nothing and is answered as the first time',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const run = await bench.take()
      for (const batch of [1, 1, 2, 1, 2, 3, 3]) await bench.append(run, batch, [text(`${batch}`)])
      for (let repeat = 0; repeat < 2; repeat++) await bench.append(run, 4, [END])
      await bench.journal.release(run, ABORTED)
      for (const batch of [4, 2]) await bench.append(run, batch, [text('again')])
      for (let repeat = 0; repeat < 2; repeat++) assert.equal(await bench.journal.append(run, 5, [text('late')]), false)
      await bench.journal.publish(S, 'fence', '{}')
      const entries = await (await bench.followAll(epoch)).untilEvent('fence')
      assert.deepEqual(entries.map(short), ['turn-started', '1', '2', '3', 'end stop', 'fence'])
    }
  },
  {
    must: [6],
    title: 'a batch that is appended several times at once is written once',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const run = await bench.take()
      for (let batch = 1; batch < 10; batch++) {
        const answers = await together(...times(3, () => () => bench.journal.append(run, batch, [text(`${batch};`)])))
        assert.deepEqual(answers, [true, true, true])
      }
      await bench.finish(run)
      const entries = await (await bench.followAll(epoch)).untilEnd()
      assert.equal(textOf(entries), times(9, (index) => `${index + 1};`).join(''))
    }
  },
  {
    must: [14],
    title: 'release gives the right back and writes the given end, or none for a turn that has one',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const ended = await bench.take()
      await bench.accepted('t2')
      await bench.append(ended, 1, [END])
      assert.equal(await bench.journal.take(S, () => true), undefined)
      await bench.journal.release(ended, ABORTED)
      await bench.journal.release(ended, ABORTED)
      const open = await bench.take()
      await bench.journal.release(open, { finishReason: 'error', error: { code: 'TURN_LOST' } })
      await bench.journal.release(open, ABORTED)
      await bench.journal.publish(S, 'fence', '{}')
      const entries = await (await bench.followAll(epoch)).untilEvent('fence')
      assert.deepEqual(entries.map(told), ['t1 turn-started', 't1 end stop', 't2 turn-started', 't2 end error', '- fence'])
    }
  },
  {
    must: [3, 14],
    title: 'a run that was released gives back no right but its own',
    async run (bench) {
      const old = await bench.begin('t1')
      await bench.journal.release(old, STOP)
      const run = await bench.begin('t2')
      await bench.accepted('t3')
      await bench.journal.release(old, STOP)
      assert.equal(await bench.journal.take(S, () => true), undefined)
      await bench.finish(run)
      assert.deepEqual(await bench.drain(), ['t3'])
    }
  },
  {
    must: [14],
    title: 'the last append of a run and its release at once write one end',
    async run (bench) {
      for (const of of times(20, (round) => key(`s${round}`))) {
        const { epoch } = await bench.accepted('t1', { of })
        const run = await bench.take(of)
        const release = () => bench.journal.release(run, ABORTED)
        const [isWritten] = await Promise.all([bench.journal.append(run, 1, [text('a'), END]), together(release, release)])
        await bench.journal.publish(of, 'fence', '{}')
        const entries = await (await bench.followAll(epoch, of)).untilEvent('fence')
        assert.deepEqual(entries.map(short), ['turn-started', ...isWritten ? ['a', 'end stop'] : ['end aborted'], 'fence'])
      }
    }
  },
  {
    must: [17],
    title: 'publish writes an event that belongs to no turn, in a session that is new, idle or running',
    async run (bench) {
      const json = JSON.stringify({ text: '\u{1f375}"', list: [null] })
      const first = await bench.journal.publish(S, 'news', json)
      assert.equal(first.seq, 1)
      const reader = await bench.followAll(first.epoch)
      await bench.play('t1')
      assert.deepEqual(await bench.peer.publish(S, 'news', json), { epoch: first.epoch, seq: 5 })
      const run = await bench.begin('t2')
      assert.deepEqual(await bench.peer.publish(S, 'last', json), { epoch: first.epoch, seq: 7 })
      await bench.finish(run)
      const entries = await reader.untilEvent('last')
      const published = entries.filter(({ turnId }) => turnId === undefined)
      assert.deepEqual(published, [[1, 'news'], [5, 'news'], [7, 'last']].map(([seq, name]) => (
        { kind: 'event', name, json, turnId: undefined, seq }
      )))
    }
  },
  {
    must: [17],
    title: 'what is published at once has a number for each',
    async run (bench) {
      const positions = await together(...times(20, (index) => () => bench.node(index).publish(S, `e${index}`, `${index}`)))
      const [{ epoch } = { epoch: '' }] = positions
      assert.deepEqual(positions.map(({ seq }) => seq).sort((one, other) => one - other), times(20, (index) => index + 1))
      const entries = await (await bench.followAll(epoch)).read(20)
      assert.deepEqual(positions.map(({ seq }) => entries[seq - 1]).map((entry) => entry && short(entry)), times(20, (index) => `e${index}`))
    }
  }
]
