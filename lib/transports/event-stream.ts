import type { OutgoingHttpHeaders } from 'node:http'

import type { FastifyReply } from 'fastify'

/** Whatever stands between would else wait for more before it passes anything on, or keep it, or compress it. */
const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no'
}

/** A comment: clients read over it, and whoever stands between sees that the answer lives. */
export const HEARTBEAT = ':\n\n'

/**
 * From here on server-sent events are written to the raw response, with the headers that hooks have set.
 * @returns `false` when the host's `handlerTimeout` is over, and Fastify is about to answer
 */
export function beginEvents (reply: FastifyReply): boolean {
  // Fastify has the signal, and the option, since 5.8.
  const signal: unknown = Reflect.get(reply.request, 'signal')
  const reason: unknown = Reflect.get(Object(signal), 'reason')
  if (Reflect.get(Object(reason), 'code') === 'FST_ERR_HANDLER_TIMEOUT') return false
  reply.hijack()
  // Those that are there have values.
  reply.raw.writeHead(200, { ...reply.getHeaders(), ...HEADERS } as OutgoingHttpHeaders)
  return true
}
