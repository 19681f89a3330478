import { AgentError, AgentNotFoundError } from './executor.js'
import { StoreFailure } from './store-failure.js'

const OURS = [AgentError, AgentNotFoundError, StoreFailure]

/**
 * An error of an SDK, fit for a log: those hang requests, answers and headers on theirs, which a logger would print. What
 * stays is the text. An error of this package's is left as it is, since it decides how the turn ends.
 */
export function sdkFailure (thrown: unknown): Error {
  if (thrown instanceof Error) {
    return OURS.some((kind) => thrown instanceof kind) ? thrown : new Error('the SDK failed', { cause: thrown })
  }
  return new Error(`the SDK failed: ${textOf(thrown)}`)
}

/** Some pass on what the provider has sent as an error: text, or an object with a message. */
function textOf (thrown: unknown): string {
  if (typeof thrown === 'string') return thrown
  const message: unknown = typeof thrown === 'object' && thrown !== null && 'message' in thrown ? thrown.message : undefined
  return typeof message === 'string' ? message : 'it did not say why'
}
