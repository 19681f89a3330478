import type { FastifyRequest } from 'fastify'

import { isOriginAllowed, type OriginRule } from './origin.js'
import { Refusal } from './refusal.js'

/**
 * Lets in pages of the server's own and those that the host has listed, and whoever is no page.
 * @throws Refusal `FORBIDDEN`; the log says how to let the page in
 */
export async function refuseForeignOrigin (request: FastifyRequest, rule: OriginRule): Promise<void> {
  const { origin } = request.headers
  if (await isOriginAllowed(origin, request, rule)) return
  request.log.warn(
    { origin, reachedBy: `${request.protocol}://${request.host}` },
    'refused a page of another origin: list it in the channel\'s `origin` option; if it is this server\'s own, set ' +
    '`trustProxy` behind a proxy, or list the host in `allowedHosts`'
  )
  throw new Refusal('FORBIDDEN')
}
