import type { FastifyReply } from 'fastify'

/** Whatever stands between would else wait for more before it passes anything on, or keep it, or compress it. */
const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no'
}

/** A comment: clients read over it, and whoever stands between sees that the answer lives. */
export const HEARTBEAT = ':\n\n'

/** From here on server-sent events are written to the raw response, with the headers that hooks have set. */
export function beginEvents (reply: FastifyReply): void {
  reply.hijack()
  for (const [header, value] of Object.entries({ ...reply.getHeaders(), ...HEADERS })) reply.raw.setHeader(header, value ?? '')
  reply.raw.writeHead(200)
}

/** @param isDraining a server that is being closed waits for its clients to hang up */
export function endEvents ({ raw }: FastifyReply, isDraining: boolean): void {
  if (isDraining && raw.req.httpVersionMajor === 1) raw.once('finish', () => raw.req.socket.destroySoon())
  raw.end()
}
