import type { FastifyReply, FastifyRequest } from 'fastify'

import { ERROR_CODES, type ErrorCode } from '../protocol/codes.js'
import type { CompletionError } from './completion-schemas.js'
import { Refusal } from './refusal.js'

/** A field of a completion that is wrong. */
export class WrongField extends Refusal {
  readonly param: string

  /** @param path a JSON pointer */
  constructor (path: string, rule: string) {
    const param = path.slice(1).replaceAll('/', '.')
    super('VALIDATION_FAILED', { hint: param === '' ? rule : `${param} ${rule}` })
    this.param = param
  }
}

/** The end of a turn that failed: it has run, and its client must not run it again unasked. */
export class FailedTurn extends Refusal {}

/** What other servers of this API call it. */
const THEIR_CODES: Partial<Record<ErrorCode, string>> = {
  AGENT_NOT_FOUND: 'model_not_found',
  RATE_LIMITED: 'rate_limit_exceeded',
  VALIDATION_FAILED: 'invalid_value'
}

const TYPE_BY_STATUS: Readonly<Record<number, string>> = { 401: 'authentication_error', 403: 'permission_error', 429: 'rate_limit_error' }

/** A refusal, in the shape of that API. */
export function completionError (refusal: Refusal): CompletionError {
  const { code, message, statusCode } = refusal
  const param = refusal instanceof WrongField ? refusal.param : code === 'AGENT_NOT_FOUND' ? 'model' : ''
  return errorBody(statusCode, message, param === '' ? null : param, THEIR_CODES[code] ?? code.toLowerCase())
}

/** The `errorHandler` of the routes: whatever went wrong, also in a hook of the host, has the shape of that API. */
export function answerCompletionError (error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const refusal = error instanceof Refusal ? error : undefined
  const statusCode = refusal?.statusCode ?? statusOf(error, reply)
  const isFault = refusal === undefined ? statusCode >= 500 : statusCode === 500
  request.log[isFault ? 'error' : 'info']({ err: error }, 'refused')
  if (refusal instanceof FailedTurn) reply.header('x-should-retry', 'false')
  if (refusal?.retryAfterMs !== undefined) {
    reply.headers({ 'retry-after': Math.ceil(refusal.retryAfterMs / 1000), 'retry-after-ms': refusal.retryAfterMs })
  }
  reply.code(statusCode).send(refusal === undefined ? bodyOf(error, statusCode) : completionError(refusal))
}

/** What others refuse is theirs to say; what fails is nothing for a client to read. */
function bodyOf (error: Error, statusCode: number): CompletionError {
  if (statusCode >= 500) return errorBody(statusCode, ERROR_CODES.INTERNAL.message, null, null)
  const code: unknown = Reflect.get(error, 'code')
  return errorBody(statusCode, error.message, null, typeof code === 'string' ? code.toLowerCase() : null)
}

function errorBody (statusCode: number, message: string, param: string | null, code: string | null): CompletionError {
  const type = TYPE_BY_STATUS[statusCode] ?? (statusCode >= 500 ? 'server_error' : 'invalid_request_error')
  return { error: { message, type, param, code } }
}

/** As Fastify has it: what a hook has set before it threw comes first, then what its error says. */
function statusOf (error: Error, reply: FastifyReply): number {
  const statuses: unknown[] = [reply.statusCode, Reflect.get(error, 'statusCode'), Reflect.get(error, 'status')]
  return statuses.find((status): status is number => typeof status === 'number' && status >= 400 && status <= 599) ?? 500
}
