import type { FastifyReply } from 'fastify'

import type { Engine } from '../turns/engine.js'

/** A server that is being closed would wait for its client to hang up. HTTP/2 has no such field. */
export function hangUpInDrain (reply: FastifyReply, { isDraining }: Engine): void {
  if (isDraining && reply.raw.req.httpVersionMajor === 1) reply.header('connection', 'close')
}
