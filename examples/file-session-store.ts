// A part of examples/session-store.ts: a session store over a file, which takes the place of a table.
// It keeps to the sentences of the SessionStore interface; the SQL that would do the same stands beside each method.
import { appendFileSync, existsSync, readFileSync } from 'node:fs'

import type { SessionKey, SessionListKey, SessionMessage, SessionStore } from '../lib/index.js'

/** `id` rises with every row and is never used again, like a `bigserial`: that makes it the cursor of every page. */
interface Row { id: number, key: SessionKey, message: SessionMessage }
/** Without messages: the session was deleted. */
interface FileRecord { key: SessionKey, messages: SessionMessage[] | null }

export function fileSessionStore (file: string): SessionStore {
  let rows: Row[] = []
  let nextId = 1
  let closed = false
  function replay (line: string) {
    const { key, messages } = recordOf(line)
    if (messages === null) rows = rows.filter((row) => !sessionOf(key).includes(row))
    else for (const message of messages) {
      const kept = sessionOf(key).find((row) => identityOf(row.message) === identityOf(message))
      if (kept === undefined) rows.push({ id: nextId++, key, message })
      else kept.message.content = message.content
    }
  }
  /** One line a call: it is kept as a whole or not at all. Synchronous, so that calls stay in order; in SQL a transaction. */
  function write ({ owner, agentId, sessionId }: SessionKey, messages: SessionMessage[] | null) {
    const line = JSON.stringify({ key: { owner, agentId, sessionId }, messages } satisfies FileRecord)
    appendFileSync(file, `\n${line}`)
    replay(line)
  }
  function listOf (key: SessionListKey) {
    if (closed) throw new Error('this session store is closed')
    return rows.filter((row) => isOf(key, row))
  }
  const sessionOf = (key: SessionKey) => listOf(key).filter((row) => row.key.sessionId === key.sessionId)
  if (existsSync(file)) readFileSync(file, 'utf8').split('\n').forEach(replay)
  return {
    append (key, messages) { // INSERT … ON CONFLICT (owner, agent_id, session_id, turn_id, role) DO UPDATE SET content … WHERE is longer
      const known = new Map(sessionOf(key).map(({ message }) => [identityOf(message), message]))
      const isFresh = (message: SessionMessage) => isLonger(message, known.get(identityOf(message)))
      const fresh = messages.filter((message) => isFresh(message) && known.set(identityOf(message), message))
      if (fresh.length > 0) write(key, fresh)
    },
    messages (key, { limit, before }) { // WHERE id < before ORDER BY id DESC LIMIT limit, turned round
      const all = sessionOf(key)
      const end = before === undefined ? all.length : Math.max(0, all.findIndex(({ id }) => String(id) === before))
      const page = all.slice(Math.max(0, end - limit), end)
      return { messages: copiesOf(page), ...(end > limit ? { before: String(page[0]?.id) } : {}) }
    },
    turn: (key, turnId) => copiesOf(sessionOf(key).filter(({ message }) => message.turnId === turnId)),
    list (of, { limit, before }) { // GROUP BY session_id HAVING max(id) < before ORDER BY max(id) DESC
      const all = listOf(of)
      const end = before === undefined ? nextId : all.find(({ id }) => String(id) === before)?.id ?? 0
      const newestById = new Map(all.map((row) => [row.key.sessionId, row]))
      const newest = [...newestById.values()].filter(({ id }) => id < end).sort((a, b) => b.id - a.id)
      const sessions = newest.slice(0, limit).map(({ key, message }) => ({ sessionId: key.sessionId, updatedAt: message.at }))
      return { sessions, ...(newest.length > limit ? { before: String(newest[limit - 1]?.id) } : {}) }
    },
    delete (key) {
      const found = sessionOf(key).length > 0
      if (found) write(key, null)
      return found
    },
    close () { closed = true }
  }
}

function recordOf (line: string): FileRecord {
  try {
    return JSON.parse(line) as FileRecord
  } catch { // The beginning of an object is no JSON: a write that was cut off, by which nothing was promised.
    return { key: { owner: '', agentId: '', sessionId: '' }, messages: [] }
  }
}

const isOf = ({ owner, agentId }: SessionListKey, { key }: Row) => key.owner === owner && key.agentId === agentId
const isLonger = ({ content, complete }: SessionMessage, kept?: SessionMessage) =>
  kept === undefined || (!kept.complete && !complete && content.length > kept.content.length)
const identityOf = ({ turnId, role }: SessionMessage) => JSON.stringify([turnId, role])
const copiesOf = (rows: Row[]) => structuredClone(rows.map(({ message }) => message))
