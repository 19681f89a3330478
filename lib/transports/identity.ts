import type { FastifyRequest } from 'fastify'

import type { Awaitable } from '../awaitable.js'
import { ANONYMOUS } from '../protocol/names.js'

/** Who is at the other end of a connection, and what the executor gets to know of it. */
export interface Identity {
  /** Whose sessions it sees. `anonymous` is everybody who is nobody, and has no limits of an owner. */
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
 * @throws Error for a user with neither, or one who is called as everybody is
 */
export function identifyByUser (request: FastifyRequest): Identity {
  const user: unknown = Reflect.get(request, 'user')
  if (user === undefined || user === null) return { owner: ANONYMOUS }
  const { sub, id, exp } = Object(user) as { sub?: unknown, id?: unknown, exp?: unknown }
  const owner = ownerText(sub) ?? ownerText(id)
  if (owner === undefined) {
    throw new Error('request.user has neither `sub` nor `id`: give the channel an `identify` that says whose sessions these are')
  }
  if (owner === ANONYMOUS) {
    throw new Error(`a user named ${ANONYMOUS} would share the sessions of all who are nobody: give the channel an ` +
      '`identify` that names users apart')
  }
  return typeof exp === 'number' ? { owner, expiresAt: exp * 1000 } : { owner }
}

function ownerText (value: unknown): string | undefined {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

/**
 * A copy of what `identify` answered, through JSON: nothing of the request may live on with the connection.
 * @throws Error when it answered something else
 */
export function toIdentity (answer: string | Identity): Identity {
  const { owner, expiresAt, context } = typeof answer === 'string' ? { owner: answer } as Identity : Object(answer) as Identity
  if (typeof owner !== 'string' || owner === '') {
    throw new Error('`identify` must answer an owner: a string that is not empty, or { owner, expiresAt?, context? }')
  }
  // NaN, or a Date as text, would never be reached: credentials without an end.
  if (expiresAt !== undefined && !Number.isFinite(expiresAt)) {
    throw new Error('`identify` must answer `expiresAt` as milliseconds since 1970, or leave it out')
  }
  const identity: Identity = { owner }
  if (expiresAt !== undefined) identity.expiresAt = expiresAt
  if (context !== undefined) identity.context = JSON.parse(JSON.stringify(context)) as unknown
  return identity
}
