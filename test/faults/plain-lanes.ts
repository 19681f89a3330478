import type { SessionKey } from '../../lib/protocol/session-key.js'
import type { Frame } from '../helpers/channel-client.js'
import { quoted } from './feed-view.js'
import type { Report } from './report.js'
import { scriptOf } from './scripts.js'
import type { Truth } from './truth.js'

interface PlainClient {
  readonly name: string
  readonly owner: string
  readonly seed: number
  readonly truth: Truth
  readonly report: Report
}

interface PlainChat {
  message: string
  /** `undefined` for the connection's own session. */
  key: SessionKey | undefined
  text: string
}

const REFUSALS: readonly unknown[] = ['SESSION_BUSY', 'QUEUE_FULL', 'RATE_LIMITED']

/** The answers to the plain chats of one connection, by agent: in the order of the chats, told apart by nothing else. */
export class PlainLanes {
  readonly #client: PlainClient
  readonly #lanes = new Map<string, PlainChat[]>()
  /** Chats without an id to a session that is followed: told in its feed, by agent. */
  readonly #fed = new Map<string, Set<string>>()
  /** Agents whose unnamed session was cancelled or interrupted on this connection. */
  readonly #stopped = new Set<string>()
  /** Messages of named sessions whose refusals came: none of them may have been taken. */
  readonly refused = new Set<string>()

  constructor (client: PlainClient) {
    this.#client = client
  }

  get isQuiet (): boolean {
    // What a feed has skipped is in the history.
    const isOpen = (message: string): boolean => this.#client.truth.turnOf(message)?.end === undefined
    const isFedOver = [...this.#fed.values()].every((messages) => ![...messages].some(isOpen))
    return isFedOver && [...this.#lanes.values()].every((lane) => lane.length === 0)
  }

  describe (): unknown {
    return { lanes: [...this.#lanes], fed: [...this.#fed].map(([agentId, messages]) => [agentId, [...messages]]) }
  }

  /** A refusal has no id: where one is to come, only one way of answering may be open. */
  mayStart (agentId: string, isFed: boolean): boolean {
    return isFed ? this.#lane(agentId).length === 0 : this.#fedOf(agentId).size === 0
  }

  start (agentId: string, message: string, key: SessionKey | undefined, isInterrupt: boolean): void {
    this.#lane(agentId).push({ message, key, text: '' })
    if (key === undefined && isInterrupt) this.#stopped.add(agentId)
  }

  startFed (agentId: string, message: string): void {
    this.#fedOf(agentId).add(message)
  }

  stop (agentId: string): void {
    this.#stopped.add(agentId)
  }

  /** The turn of that chat has begun to be told. */
  settleFed (message: string): void {
    for (const messages of this.#fed.values()) messages.delete(message)
  }

  take (frame: Frame): void {
    const agentId = String(frame.agentId)
    const keys = Object.keys(frame).join()
    const isPlain = frame.type === 'error' ? keys.startsWith('type,agentId,code,message,retryable') : keys === 'type,agentId,content,done'
    if (!isPlain) this.#fault('schema', `no plain frame: ${quoted(frame)}`)
    const chat = this.#lane(agentId)[0]
    if (chat === undefined) return this.#fedRefused(agentId, frame)
    if (frame.type === 'stream') chat.text += String(frame.content)
    if (frame.done !== true) return
    this.#lane(agentId).shift()
    if (frame.type === 'message') chat.text = String(frame.content)
    if (chat.key === undefined) this.#checkOwn(chat, agentId, frame)
    else this.#checkNamed(chat, chat.key, frame)
  }

  /** The connection is gone. */
  end (): void {
    this.#lanes.clear()
    this.#fed.clear()
  }

  #fedRefused (agentId: string, frame: Frame): void {
    const fed = this.#fedOf(agentId)
    const [message] = fed
    if (message === undefined || frame.type !== 'error' || !REFUSALS.includes(frame.code)) {
      return this.#fault('answers', `nobody waits for ${quoted(frame)}`)
    }
    // Of several nobody can say which: one that was not taken.
    for (const candidate of fed) if (this.#client.truth.turnOf(candidate) === undefined) return void fed.delete(candidate)
    this.#fault('answers', `all were taken, and yet ${quoted(frame)}`)
  }

  #checkNamed ({ message, text }: PlainChat, key: SessionKey, frame: Frame): void {
    const { truth } = this.#client
    const turn = truth.turnOf(message)
    if (turn === undefined) {
      if (!REFUSALS.includes(frame.code)) this.#fault('answers', `never taken, and answered ${quoted(frame)}`)
      this.refused.add(message)
      return
    }
    const { end } = turn
    if (end === undefined) return this.#fault('ends', `${quoted(frame)} before the end of ${message}`)
    const expected = end.content ?? truth.session(key).textOf(turn)
    if (frame.code !== end.error?.code) this.#fault('ends', `${quoted(end)} was told as ${quoted(frame)}`)
    const isTold = frame.type !== 'error' || text !== ''
    if (isTold && text !== expected) this.#fault('text', `${quoted(expected)} was told as ${quoted(text)}`)
  }

  /** The connection's own sessions are nobody else's, and in no journal that can be looked into. */
  #checkOwn ({ message, text }: PlainChat, agentId: string, frame: Frame): void {
    const { seed, owner } = this.#client
    const script = scriptOf(seed, owner, message)
    if (REFUSALS.includes(frame.code)) return
    const isOver = frame.code === (script.end === 'stop' ? undefined : script.end)
    const isExact = isOver && (frame.type === 'error' || text === script.text)
    if (isExact) return
    const isTooLarge = frame.code === 'ANSWER_TOO_LARGE'
    const isCutOff = (isTooLarge || (this.#stopped.has(agentId) && frame.type !== 'error')) && script.text.startsWith(text.replace(/\ufffd$/, ''))
    if (!isCutOff) this.#fault('text', `${quoted(script.text)} and ${script.end} was told as ${quoted(text)} and ${quoted(frame)}`)
  }

  #lane (agentId: string): PlainChat[] {
    let lane = this.#lanes.get(agentId)
    if (lane === undefined) this.#lanes.set(agentId, lane = [])
    return lane
  }

  #fedOf (agentId: string): Set<string> {
    let fed = this.#fed.get(agentId)
    if (fed === undefined) this.#fed.set(agentId, fed = new Set())
    return fed
  }

  #fault (check: Parameters<Report['fault']>[0], text: string): void {
    this.#client.report.fault(check, `${this.#client.name}: ${text}`)
  }
}
