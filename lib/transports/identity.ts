import type { FastifyRequest } from 'fastify'

import type { Awaitable } from '../awaitable.js'
import { ANONYMOUS } from '../protocol/names.js'

/** Who is at the other end of a connection, and what the executor gets to know of it. */
export interface Identity {
  /** Whose sessions it sees. */
  owner: string
  /** When its credentials expire, in milliseconds since 1970-01-01T00:00:00Z: then the connection is closed. */
  expiresAt?: number | undefined
  /** Anything JSON can say; `turn.context` for the executor. */
  context?: unknown
}

/** Tells the owner from a request that the host's hooks have let through. */
export type Identify = (request: FastifyRequest) => Awaitable<string | Identity>

/**
 * The owner is the `sub` or `id` of what the host's hooks left in `request.user`, or `anonymous` without one; the
 * connection expires with the user's `exp` (RFC 7519: in seconds), as a token's claims have it.
 * @throws Error for a user with neither
 */
export function identifyByUser (request: FastifyRequest): Identity {
  const user: unknown = Reflect.get(request, 'user')
  if (user === undefined || user === null) return { owner: ANONYMOUS }
  const { sub, id, exp } = Object(user) as { sub?: unknown, id?: unknown, exp?: unknown }
  const owner = ownerText(sub) ?? ownerText(id)
  if (owner === undefined) {
    throw new Error('request.user has neither `sub` nor `id`: give the channel an `identify` that says whose sessions these are')
  }
  return typeof exp === 'number' ? { owner, expiresAt: exp * 1000 } : { owner }
}

function ownerText (value: unknown): string | undefined {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** @throws Error when the host's `identify` answered something else */
export function toIdentity (answer: string | Identity): Identity {
  const identity = typeof answer === 'string' ? { owner: answer } : answer
  if (typeof identity !== 'object' || typeof identity.owner !== 'string' || identity.owner === '') {
    throw new Error('`identify` must answer an owner: a string that is not empty, or { owner, expiresAt?, context? }')
  }
  // A copy through JSON: nothing of the request may live on with the connection by way of it.
  if (identity.context === undefined) return identity
  return { ...identity, context: JSON.parse(JSON.stringify(identity.context)) as unknown }
}
