import t from 'tap'

import { connect, type ChannelClient } from '../helpers/channel-client.js'
import { runNodesSeed } from './nodes/run-seed.js'
import { LEASE_MS, SWEEP_MS, withNodes } from './nodes/with-nodes.js'

const SEEDS = 2
/** The time that the README gives for the end of a turn whose node is gone. */
const LOST_MS = LEASE_MS + SWEEP_MS + 2_000

t.test('nothing is lost while nodes are killed and stopped, and Redis is started anew', { timeout: 300_000 }, async (t) => {
  await withNodes({}, async (tools) => {
    const [a, b, c] = tools.fleet.nodes
    if (a === undefined || b === undefined || c === undefined) throw new Error('there are three')

    await t.test('a client whose node is alive goes on at another without a missing or doubled character', async (t) => {
      const answer = new Answer('moved', 120)
      const client = await connect(a.url)
      client.send(answer.chat)
      await answer.readFrom(client, 20)
      await client.terminate()
      const other = await connect(b.url)
      other.send(answer.subscribe)
      t.match(await other.next('subscribed'), { recovered: true, ...answer.position })
      await answer.readFrom(other)
      t.strictSame([answer.text, answer.end], [answer.whole, 'stop'])
      await other.close()
    })

    await t.test('a client whose node is killed in the middle of an answer has an end within lease, sweep and two seconds', async (t) => {
      const answer = new Answer('killed', 1_000)
      const client = await connect(a.url)
      client.send(answer.chat)
      await answer.readFrom(client, 20)
      a.kill()
      await client.closed
      const other = await connect(c.url)
      const startAt = performance.now()
      other.send(answer.subscribe)
      t.match(await other.next('subscribed'), { recovered: true, ...answer.position })
      await answer.readFrom(other)
      const tookMs = performance.now() - startAt
      t.comment(`TURN_LOST ${tookMs.toFixed(0)} ms after kill and reconnect; at most ${LOST_MS} ms, of which the lease is ${LEASE_MS} ms`)
      t.ok(tookMs <= LOST_MS, `${tookMs} ms`)
      t.equal(answer.end, 'TURN_LOST')
      t.ok(answer.whole.startsWith(answer.text), 'what it was told is what was said')
      await other.close()
    })

    await a.start()
    for (let seed = 1; seed <= SEEDS; seed++) t.strictSame((await runNodesSeed(seed, tools)).faults, [], `seed ${seed}`)
  })
})

/** The answer to one chat, as a client reads it that goes from node to node. */
class Answer {
  readonly chat: { type: 'chat', id: string, sessionId: string, message: string }
  readonly whole: string
  text = ''
  end: unknown
  #epoch: unknown
  #seq: unknown

  constructor (id: string, pieces: number) {
    this.chat = { type: 'chat', id, sessionId: id, message: `${pieces} 10` }
    this.whole = Array.from({ length: pieces }, (_, index) => `${id}:${index} `).join('')
  }

  /** Everything up to here was read. */
  get position (): { epoch: unknown, seq: unknown } {
    return { epoch: this.#epoch, seq: this.#seq }
  }

  get subscribe (): object {
    return { type: 'subscribe', sessionId: this.chat.sessionId, epoch: this.#epoch, after: this.#seq }
  }

  /** Reads so many pieces, or to the end. */
  async readFrom (client: ChannelClient, pieces = Infinity): Promise<void> {
    for (let count = 0; count < pieces && this.end === undefined;) {
      const frame = await client.next()
      if (frame.type === 'ack') this.#epoch = frame['epoch']
      this.#seq = frame['seq']
      if (frame['done'] === true) this.end = frame['code'] ?? frame['finishReason']
      else if (frame.type === 'stream') {
        this.text += String(frame['content'])
        count++
      }
    }
  }
}
