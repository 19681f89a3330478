import assert from 'node:assert/strict'

import type { SessionKey } from '../protocol/session-key.js'
import type { PageRequest, SessionMessage, SessionStore } from '../sessions/session-store.js'
import type { Bench, ConformanceCase } from './conformance-case.js'

export type StoreCase = ConformanceCase<StoreBench>

export const OWNED = { owner: 'ann', agentId: 'main' }
/** The session of tests that need but one. */
export const S = key('s')

const MAX_PAGES = 100

/** One empty store, and short ways to ask it. */
export class StoreBench implements Bench {
  readonly waitingFor = 'the store to answer'
  readonly store: SessionStore
  /** Makes one more, which shares nothing with this one. */
  readonly another: () => Promise<StoreBench>

  constructor (store: SessionStore, another: () => Promise<StoreBench>) {
    this.store = store
    this.another = another
  }

  async fill (count: number, of: SessionKey = S): Promise<void> {
    for (let turn = 0; turn < count; turn++) await this.store.append(of, [said(`t${turn}`)])
  }

  async contents (page: PageRequest = { limit: 100 }, of: SessionKey = S): Promise<string[]> {
    const { messages } = await this.store.messages(of, page)
    return messages.map(({ content }) => content)
  }

  /** Page after page, the newest first; the store says when it was the last. */
  async pages (limit: number, of: SessionKey = S): Promise<string[][]> {
    const pages: string[][] = []
    await throughPages(async (before) => {
      const page = await this.store.messages(of, { limit, before })
      pages.push(page.messages.map(({ content }) => content))
      return page
    })
    return pages
  }

  async listed (limit = 100): Promise<string[]> {
    const { sessions } = await this.store.list(OWNED, { limit })
    return sessions.map(({ sessionId }) => sessionId)
  }

  async close (): Promise<void> {
    await this.store.close?.()
  }
}

/** Reads page after page; at most as many as no test of this suite needs. */
export async function throughPages (read: (before: string | undefined) => Promise<{ before?: string | undefined }>): Promise<void> {
  let { before } = await read(undefined)
  for (let pages = 1; before !== undefined; pages++) {
    assert.ok(pages < MAX_PAGES, 'there is always one more page')
    before = (await read(before)).before
  }
}

export function key (sessionId: string): SessionKey {
  return { ...OWNED, sessionId }
}

export function said (turnId: string, more: Partial<SessionMessage> = {}): SessionMessage {
  return { role: 'user', content: `${turnId}?`, turnId, at: 1_700_000_000_000, complete: true, ...more }
}

export function answered (turnId: string, more: Partial<SessionMessage> = {}): SessionMessage {
  return { ...said(turnId), role: 'assistant', content: `${turnId}!`, ...more }
}
