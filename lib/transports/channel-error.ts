import { ERROR_CODES, type ErrorCode } from '../protocol/codes.js'
import type { Fault } from '../protocol/schema-check.js'

/** Why the channel has refused what the host's own code asked of it; thrown by a handler, what its client is told. */
export class ChannelError extends Error {
  override readonly name = 'ChannelError'
  readonly code: ErrorCode
  /** Whether the same may be asked again. */
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  readonly details: Fault | undefined

  constructor (code: ErrorCode, { retryAfterMs, details }: { retryAfterMs?: number | undefined, details?: Fault | undefined } = {}) {
    super(ERROR_CODES[code].message + (details === undefined ? '' : `: ${details.path} ${details.rule}`))
    this.code = code
    this.retryable = ERROR_CODES[code].retryable
    this.retryAfterMs = retryAfterMs
    this.details = details
  }
}
