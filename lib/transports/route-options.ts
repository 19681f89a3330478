import type { FastifyContextConfig, RouteShorthandOptions } from 'fastify'

import { FST_WS_CHANNEL_ROUTE_OPTION } from '../errors.js'

const HOOKS = [
  'onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend', 'onResponse', 'onTimeout',
  'onError', 'onRequestAbort'
] as const

const OTHERS = ['config', 'schema', 'logLevel', 'constraints'] as const

/** What `schema` may say: what is for people. What is for machines is the channel's own. */
const SCHEMA_KEYS = [
  'tags', 'security', 'summary', 'description', 'operationId', 'deprecated', 'hide', 'externalDocs'
] as const

/** What a host may add to a route of the channel. Its hooks run before the channel's own. */
export type ChannelRouteOptions =
  { [Key in typeof HOOKS[number]]?: RouteShorthandOptions[Key] } &
  { [Key in 'logLevel' | 'constraints']?: RouteShorthandOptions[Key] } &
  {
    /** For the host's other plugins, such as `rateLimit`. */
    config?: FastifyContextConfig & Record<string, unknown>
    schema?: { [Key in typeof SCHEMA_KEYS[number]]?: unknown } | undefined
  }

/** @throws at register time for an option that would change what the route is */
export function checkRouteOptions (options: ChannelRouteOptions): void {
  refuseOthers(Object.keys(options), [...HOOKS, ...OTHERS], '')
  refuseOthers(Object.keys(options.schema ?? {}), SCHEMA_KEYS, 'schema.')
}

function refuseOthers (keys: readonly string[], allowed: readonly string[], path: string): void {
  for (const key of keys) {
    if (!allowed.includes(key)) throw new FST_WS_CHANNEL_ROUTE_OPTION(path + key, allowed.join(', '))
  }
}

/** One hook, several or none, as a list. */
export function hookList<Hook> (hooks: Hook | Hook[] | undefined): Hook[] {
  if (hooks === undefined) return []
  return Array.isArray(hooks) ? hooks : [hooks]
}
