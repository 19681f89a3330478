import { hash } from 'node:crypto'

import type { ChatFrame } from './client-frames.js'

/** Tells whether two chats of one `id` say the same: by their message and metadata, whatever the order of keys in it. */
export function bodyHash ({ message, metadata }: Pick<ChatFrame, 'message' | 'metadata'>): string {
  const text = JSON.stringify(message)
  return hash('sha256', metadata === undefined ? text : text + JSON.stringify(sorted(metadata)), 'base64url')
}

/** Frames are at most 32 levels deep, so that the recursion is. */
function sorted (value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const entries = Object.entries(value).sort(([one], [other]) => one < other ? -1 : 1)
  // An object again, and not its pairs: an array may hold pairs too.
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]))
}
