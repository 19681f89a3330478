import type { SessionMessage } from './session-store.js'

/**
 * What is to be kept in place of a message of the same turn and role, if anything is. Of an answer that was broken off one node may know
 * less than another: whichever keeps it first, the longer one stays, with all else that was kept of the first.
 */
export function longerAnswer (kept: SessionMessage, given: SessionMessage): SessionMessage | undefined {
  const isLonger = !kept.complete && !given.complete && given.content.length > kept.content.length
  return isLonger ? { ...kept, content: given.content } : undefined
}
