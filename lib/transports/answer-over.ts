import type { IncomingMessage } from 'node:http'
import { finished } from 'node:stream'

import type { FastifyReply } from 'fastify'

type Socket = IncomingMessage['socket']

/** By connection, so that each is listened to once, however many of its requests are being answered. */
const waitingBySocket = new WeakMap<Socket, Set<() => void>>()

/**
 * Calls back, once, when an answer is out or its client is gone. Over HTTP/1.1 a client may ask for more before it is
 * answered: an answer that waits behind another one has no connection yet, and is not told when that ends.
 */
export function onceOver ({ raw, request }: FastifyReply, over: () => void): void {
  const { httpVersionMajor, socket } = request.raw
  let isWaiting = true
  const end = (): void => {
    if (!isWaiting) return
    isWaiting = false
    unwatch()
    waitingBySocket.get(socket)?.delete(end)
    over()
  }
  const unwatch = finished(raw, end)
  if (httpVersionMajor === 1) watch(socket, end)
}

/** Cuts off the client of an answer that is not out, also of one that waits behind another. */
export function cutOff ({ raw, request }: FastifyReply): void {
  const { httpVersionMajor, socket } = request.raw
  if (httpVersionMajor === 1 && raw.socket === null) socket.destroy()
  raw.destroy()
}

function watch (socket: Socket, end: () => void): void {
  if (socket.destroyed) return process.nextTick(end)
  let waiting = waitingBySocket.get(socket)
  if (waiting === undefined) {
    const first = new Set<() => void>()
    waiting = first
    waitingBySocket.set(socket, first)
    socket.once('close', () => { for (const one of [...first]) one() })
  }
  waiting.add(end)
}
