import type { JournalLimits } from '../../lib/conformance/index.js'
import type { Journal, StoredChat } from '../../lib/journal/journal.js'
import { sessionKeyText, type SessionKey } from '../../lib/protocol/session-key.js'

/** A journal in memory that breaks one sentence of the contract. */
export interface BrokenJournal {
  must: number
  /** What it does instead. */
  how: string
  /** It leaves readers waiting: the suite has nothing to see but that. */
  sleeps?: boolean
  breaks: (inner: Journal, limits: JournalLimits) => Partial<Journal>
}

/** Where a double offers a chat of its own: it is to be accepted. */
export const ANYHOW = { onBusy: 'queue', maxQueued: 1_000, displacedEnd: { finishReason: 'aborted' } } as const

export function idOf (key: SessionKey, { turnId }: Pick<StoredChat, 'turnId'>): string {
  return sessionKeyText(key) + turnId
}

/** The chats that wait in a session, in their order. */
export async function waiting (journal: Journal, key: SessionKey): Promise<StoredChat[]> {
  const followed = await journal.follow(key, {}, () => {})
  followed?.cursor.close()
  return followed?.turns.flatMap(({ chat, status }) => status === 'queued' ? [chat] : []) ?? []
}
