import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'

import { Type, type Static } from '@sinclair/typebox'

import { AgentError, ChannelError, type AgentExecutor, type Authorize, type Turn } from '../../lib/index.js'
import { hasUnsafeKey, isMetadata, isName, type OracleLimits } from './oracle.js'

/** What the failing agent says. */
export const FAILURE = 'as told'
/** What the slow agent says beside its answer. */
export const NOTE = 'wait for it'

/** What a frame of the host's own type holds. */
export const HostNote = Type.Object({
  text: Type.String({ minLength: 1, maxLength: 100 }),
  count: Type.Optional(Type.Integer())
})

/** Agents that say in short what they were asked, and complain of what they should not have been given. */
export function fuzzAgents (limits: OracleLimits, onFault: (fault: string) => void): AgentExecutor {
  const begun = new Set<string>()
  const look = (turn: Turn): string => {
    const text = JSON.stringify([turn.agentId, turn.sessionId, turn.id])
    if (begun.has(text)) onFault(`a turn runs twice: ${text}`)
    begun.add(text)
    for (const fault of faultsOf(turn, limits)) onFault(`a turn's ${fault}`)
    return digestOf(turn.message, turn.metadata)
  }
  return {
    main: (turn) => look(turn).toWellFormed(),
    * words (turn) { yield * piecesOf(look(turn)) },
    async * slow (turn) {
      for (const [index, piece] of piecesOf(look(turn)).entries()) {
        if (index === 1) yield { type: 'message', content: NOTE }
        yield index % 2 === 0 ? piece : { type: 'text', content: piece }
        yield { type: 'event', name: 'progress', data: index }
        await setImmediate()
      }
    },
    failing: (turn) => {
      look(turn)
      throw new AgentError(FAILURE)
    }
  }
}

/** The host's last word: some sessions are forbidden, of some it cannot say, over some it thinks for a while. */
export const fuzzAuthorize: Authorize = (frame) => {
  const sessionId = 'sessionId' in frame && typeof frame.sessionId === 'string' ? frame.sessionId : ''
  if (sessionId === 'forbidden') return false
  if (sessionId === 'throws') throw new Error('told to throw')
  if (sessionId === 'rejects') return Promise.reject(new Error('told to reject'))
  return sessionId.endsWith('-asked') ? setImmediate(true) : true
}

/** The handler of the host's own type: answers at once or later, refuses, or fails. */
export function fuzzHandler (onFault: (fault: string) => void) {
  return (frame: Static<typeof HostNote> & { type: string, id?: string }): unknown => {
    const { type, id, text, count, ...more } = frame
    if (type !== 'note' || (id !== undefined && !isName(id)) || Object.keys(more).length > 0) onFault(`a note: ${JSON.stringify(frame)}`)
    if (text === 'throw') throw new Error('told to throw')
    if (text === 'refuse') throw new ChannelError('SESSION_BUSY', { retryAfterMs: 5 })
    return text === 'later' ? setImmediate(noteAnswer(text, count)) : noteAnswer(text, count)
  }
}

export function noteAnswer (text: string, count: number | undefined): unknown {
  return { length: text.length, twice: count === undefined ? null : 2 * count }
}

/** An answer of the slow agent as its session remembers it. */
export function slowRecord (answer: string): string {
  const [first = '', ...rest] = piecesOf(answer)
  return [first, NOTE, rest.join('')].join('\n\n').toWellFormed()
}

/** An answer that tells one question from another, and that can be cut in the middle of a character. */
export function digestOf (message: string, metadata: unknown): string {
  const hash = createHash('sha1').update(message).update('\0').update(metadata === undefined ? '' : JSON.stringify(metadata))
  return `${hash.digest('hex').slice(0, 8)} ${message.slice(0, 9)}`
}

function piecesOf (text: string): string[] {
  return text.match(/[^]{1,5}/g) ?? []
}

function faultsOf ({ message, metadata, agentId, sessionId }: Turn, limits: OracleLimits): string[] {
  const faults: string[] = []
  const isText = typeof message === 'string' && message !== '' && message.length <= limits.maxMessageLength
  if (!isText || !message.isWellFormed()) faults.push(`message: ${JSON.stringify(message)}`)
  if (metadata !== undefined && (hasUnsafeKey(metadata) || !isMetadata(metadata, limits.maxMetadataBytes) ||
    Object.getPrototypeOf(metadata) !== Object.prototype)) faults.push(`metadata: ${JSON.stringify(metadata)}`)
  if (!isName(agentId) || !isName(sessionId)) faults.push(`names: ${JSON.stringify([agentId, sessionId])}`)
  return faults
}
