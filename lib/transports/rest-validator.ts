import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FastifySchema } from 'fastify'

import { compileCheck } from '../protocol/schema-check.js'
import { Refusal } from './refusal.js'

/** What Fastify hands to a `validatorCompiler`. */
export interface RestSchema {
  schema: FastifySchema
  httpPart?: string
}

/**
 * The `validatorCompiler` of each route: a host's own may know only its own kind of schema. A body is read as the frame
 * that it is, whose limits say more than a schema can.
 */
export function compileRestValidator ({ schema, httpPart = '' }: RestSchema): (value: unknown) => { value: unknown } | { error: Error } {
  if (httpPart === 'body') return (value) => ({ value })
  // Ours are all TypeBox's.
  const part = schema as TSchema
  const check = compileCheck(part)
  return (value) => {
    // All that a path or a query can hold is text.
    const converted = httpPart === 'querystring' ? Value.Convert(part, value) : value
    const fault = check(converted)
    if (fault === undefined) return { value: converted }
    return { error: new Refusal('VALIDATION_FAILED', { hint: `${httpPart} ${fault.path} ${fault.rule}` }) }
  }
}
