import type { SessionStore } from '../../lib/index.js'
import { ERROR_CODES, type ErrorCode } from '../../lib/protocol/codes.js'
import type { JsonAnswer } from '../helpers/http-client.js'

export const SESSION = '/agents/main/sessions/s'

/** An answer that refuses, with the status of its code. */
export function refusal (code: ErrorCode, more: object = {}): object {
  const { httpStatus, retryable } = ERROR_CODES[code]
  return { status: httpStatus, body: { statusCode: httpStatus, code, retryable, ...more } }
}

/** A store whose database is away. */
export class FailingStore implements SessionStore {
  readonly #fail = (): never => { throw new Error('secret') }
  readonly append = this.#fail
  readonly messages = this.#fail
  readonly turn = this.#fail
  readonly list = this.#fail
  readonly delete = this.#fail
}

export const seen = ({ status, body }: JsonAnswer) => ({ status, body })
