import type { Test } from 'tap'

import type { SessionMessage, SessionStore } from '../../lib/sessions/session-store.js'

/** An answer that was broken off counts as what it has become. @param store takes 1,000 bytes of a session */
export async function checkGrown (t: Test, store: SessionStore): Promise<void> {
  const key = { owner: 'ann', agentId: 'main', sessionId: 'grown' }
  const message = (turnId: string, content: string, more: Partial<SessionMessage> = {}): SessionMessage => ({
    turnId, role: 'user', content, at: 1, complete: true, ...more
  })
  const broken = (content: string): SessionMessage => message('t5', content, { role: 'assistant', complete: false })
  await store.append(key, [message('t4', 'x'.repeat(400)), broken('y')])
  await store.append(key, [broken('y'.repeat(500))])
  await store.append(key, [broken('y'.repeat(600))])
  t.match((await store.messages(key, { limit: 9 })).messages, [{ content: 'y'.repeat(600), complete: false }], 'the oldest goes for it')
  await store.append(key, [message('t6', 't6?')])
  t.match((await store.messages(key, { limit: 9 })).messages, [{ turnId: 't5' }, { turnId: 't6' }])
}
