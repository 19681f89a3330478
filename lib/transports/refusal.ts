import { STATUS_CODES } from 'node:http'

import { Type, type Static } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'

import { ERROR_CODES, type ErrorCode } from '../protocol/codes.js'

/** The body of every refusal of ours over HTTP: Fastify's own shape, and two fields more. */
export const REFUSAL_BODY = Type.Object({
  statusCode: Type.Integer(),
  code: Type.String(),
  error: Type.String(),
  message: Type.String(),
  retryable: Type.Boolean({ description: 'The same request may be sent again' }),
  retryAfterMs: Type.Optional(Type.Integer({ minimum: 0 }))
})

export type RefusalBody = Static<typeof REFUSAL_BODY>

/** The body where a hook of the host may have refused instead: its errors do not have the two fields. */
export const HOST_REFUSAL_BODY = Type.Partial(REFUSAL_BODY)

export interface RefusalOptions {
  statusCode?: number
  retryAfterMs?: number
  /** Added to the text of the code, for the peer to read. */
  hint?: string
  /** In place of the text of the code: what an agent's own error says. */
  text?: string
}

/** A row of the codes table as the answer to an HTTP request. Only these reach the peer in the channel's own shape. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: ErrorCode
  readonly statusCode: number
  readonly retryAfterMs: number | undefined

  constructor (code: ErrorCode, options: RefusalOptions = {}) {
    const { message, httpStatus } = ERROR_CODES[code]
    const { text = message } = options
    super(options.hint === undefined ? text : `${text}: ${options.hint}`)
    this.code = code
    this.statusCode = options.statusCode ?? httpStatus
    this.retryAfterMs = options.retryAfterMs
  }

  body (): RefusalBody {
    const { code, statusCode, message, retryAfterMs } = this
    const { retryable } = ERROR_CODES[code]
    const body = { statusCode, code, error: STATUS_CODES[statusCode] ?? 'Error', message, retryable }
    return retryAfterMs === undefined ? body : { ...body, retryAfterMs }
  }
}

/** The `errorHandler` of each of our routes: refusals in our shape, everything else to the host's own handler. */
export function answerError (error: Error, request: FastifyRequest, reply: FastifyReply): void {
  if (!(error instanceof Refusal)) {
    reply.send(error)
    return
  }
  request.log[error.statusCode === 500 ? 'error' : 'info']({ err: error }, 'refused')
  if (error.retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(error.retryAfterMs / 1000))
  reply.code(error.statusCode).send(error.body())
}

/**
 * The `serializerCompiler` of each of our routes, since a host's own may know only its own kind of schema. Fastify hands
 * over errors whose fields cannot be enumerated: `JSON.stringify` alone would make `{}` of a host's 401.
 */
export function compileSerializer (): (data: unknown) => string {
  return (data) => {
    if (!(data instanceof Error)) return JSON.stringify(data)
    const { message } = data
    return JSON.stringify({
      statusCode: field(data, 'statusCode'), code: field(data, 'code'), error: field(data, 'error'), message
    })
  }
}

function field (data: Error, name: string): unknown {
  return Reflect.get(data, name)
}
