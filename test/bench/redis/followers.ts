import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { isEnd } from '../speakers.js'
import { rawFrame, textFrame, WireClient } from '../wire-client.js'
import type { NodeKind } from './node-kinds.js'
import type { NodeProcess } from './nodes.js'
import { PieceCounter } from './piece-counter.js'
import { textOf, type Asked } from './source.js'

/** Two nodes: what one says is followed on the other. */
export interface Pair {
  speaker: NodeProcess
  listener: NodeProcess
}

/** One client of the listening node. */
export interface Follower {
  counter: PieceCounter
  /** Has the other node say something; settles when all of it is here. */
  turn: (asked: Asked) => Promise<void>
  end: () => void
}

type Open = (pair: Pair, name: string, counter: PieceCounter) => Promise<Follower>

/** A client of the listening node, of the least kind that does. */
export async function follow (kind: NodeKind, pair: Pair, name: string, saysWhen: boolean): Promise<Follower> {
  return await FOLLOWERS[kind](pair, name, new PieceCounter(saysWhen))
}

const FOLLOWERS: Record<NodeKind, Open> = {
  'memory journal': followChannel, 'Redis journal': followChannel, 'resumable-stream': followStream, 'Socket.IO': followRoom
}

async function followChannel ({ speaker, listener }: Pair, name: string, counter: PieceCounter): Promise<Follower> {
  const client = await WireClient.connect(listener.port)
  await new Promise<void>((resolve) => {
    client.onFrame = () => { resolve() }
    client.send(textFrame({ type: 'subscribe', sessionId: name }))
  })
  return {
    counter,
    async turn (asked) {
      await new Promise<void>((resolve) => {
        client.onFrame = (bytes, start, end) => {
          // What was asked is told too, and has no mark.
          counter.take(bytes, start, end)
          if (isEnd('tracked', bytes, end)) resolve()
        }
        void speaker.tell({ order: 'say', name, text: textOf(asked) })
      })
    },
    end () { client.end() }
  }
}

/** Each turn is a stream of its own, over the same connection. */
async function followStream ({ speaker, listener }: Pair, name: string, counter: PieceCounter): Promise<Follower> {
  const socket: Socket = connect({ port: listener.port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  let turns = 0
  return {
    counter,
    async turn (asked) {
      const own = { name: `${name}-${++turns}`, text: textOf(asked) }
      await speaker.tell({ order: 'prepare', ...own })
      socket.write(`GET /${own.name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
      let isBegun = false
      await new Promise<void>((resolve) => {
        socket.removeAllListeners('data').on('data', (bytes) => {
          if (!isBegun) void speaker.tell({ order: 'say', ...own })
          isBegun = true
          counter.take(bytes)
          if (bytes.subarray(-LAST_CHUNK.length).toString('latin1') === LAST_CHUNK) resolve()
        })
      })
    },
    end () { socket.destroy() }
  }
}

const LAST_CHUNK = '0\r\n\r\n'
const HEARD_MS = 100
const [MESSAGE, JOINED] = ['42', '40'] as const

/** By the protocol of Socket.IO over a WebSocket. */
async function followRoom ({ speaker, listener }: Pair, name: string, counter: PieceCounter): Promise<Follower> {
  const client = await WireClient.connect(listener.port, `/socket.io/?EIO=4&transport=websocket&name=${name}`)
  await new Promise<void>((resolve) => {
    client.onFrame = (bytes, start) => { if (kindOf(bytes, start) === JOINED) resolve() }
    client.send(rawFrame(JOINED))
  })
  // A node reads from when its first client is there; what is said until it does is lost.
  await new Promise<void>((resolve) => {
    const say = (): void => { void speaker.tell({ order: 'say', name, text: textOf({ pieces: 1, ready: 'at once' }) }) }
    const again = setInterval(say, HEARD_MS)
    client.onFrame = (bytes, start) => {
      if (kindOf(bytes, start) !== MESSAGE) return
      clearInterval(again)
      resolve()
    }
    say()
  })
  return {
    counter,
    async turn (asked) {
      const all = counter.pieces + asked.pieces
      await new Promise<void>((resolve) => {
        client.onFrame = (bytes, start, end) => {
          if (kindOf(bytes, start) !== MESSAGE) return
          counter.take(bytes, start, end)
          if (counter.pieces === all) resolve()
        }
        void speaker.tell({ order: 'say', name, text: textOf(asked) })
      })
    },
    end () { client.end() }
  }
}

function kindOf (bytes: Buffer, start: number): string {
  return bytes.toString('latin1', start, start + 2)
}
