import type { TObject } from '@sinclair/typebox'
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
export function compileRestValidator (
  { schema, httpPart = '' }: RestSchema
): (value: Record<string, unknown>) => { value: unknown } | { error: Error } {
  if (httpPart === 'body') return (value) => ({ value })
  // Ours are all TypeBox's, and objects.
  const part = schema as TObject
  const check = compileCheck(part)
  return (value) => {
    const read = withNumbers(value, part)
    const fault = check(read)
    if (fault === undefined) return { value: read }
    return { error: new Refusal('VALIDATION_FAILED', { hint: `${httpPart} ${fault.path} ${fault.rule}` }) }
  }
}

/** All that a path, a query or a header can hold is text. */
function withNumbers (value: Record<string, unknown>, { properties }: TObject): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([name, text]) => {
    const isNumber = properties[name]?.['type'] === 'integer' && typeof text === 'string' && /^\d+$/.test(text)
    return [name, isNumber ? Number(text) : text]
  }))
}
