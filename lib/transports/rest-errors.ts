import { STATUS_CODES } from 'node:http'

import type { FastifyReply, FastifyRequest } from 'fastify'

import type { ServerFrameOf } from '../protocol/server-frames.js'
import { answerError, Refusal, type RefusalBody } from './refusal.js'

/** An `error` frame as the answer to a request. */
export function refusalOf ({ code, message, retryAfterMs, details }: ServerFrameOf<'error'>): Refusal {
  return new Refusal(code, {
    text: message,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(details === undefined ? {} : { hint: `${details.path} ${details.rule}` })
  })
}

/** The `errorHandler` of the routes: what Fastify says of a body that it cannot read gets our two fields too. */
export function answerRestError (error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const body = bodyFault(error)
  if (body === undefined) return answerError(error, request, reply)
  request.log.info({ err: error }, 'refused')
  reply.code(body.statusCode).send(body)
}

/** Nothing in our answers is for others to keep, refusals included. */
export async function forbidStoring (_request: FastifyRequest, reply: FastifyReply): Promise<void> {
  reply.header('cache-control', 'no-store')
}

function bodyFault (error: Error): RefusalBody | undefined {
  const code: unknown = Reflect.get(error, 'code')
  const statusCode: unknown = Reflect.get(error, 'statusCode')
  if (typeof statusCode !== 'number' || typeof code !== 'string' || !code.startsWith('FST_ERR_CTP_')) return undefined
  return { statusCode, code, error: String(STATUS_CODES[statusCode]), message: error.message, retryable: false }
}
