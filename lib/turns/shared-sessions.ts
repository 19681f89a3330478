import type { JournalNews, Run } from '../journal/journal.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { SessionMessage } from '../sessions/session-store.js'
import { answerOf } from './answer-record.js'
import type { EngineTools } from './engine-tools.js'
import type { LiveSessions } from './live-sessions.js'
import type { SessionRunner } from './session-runner.js'
import { failedEnd } from './turn-end.js'
import { within } from './within.js'

/** For so long the end of a lost turn waits for its history, in milliseconds: what took the node may have taken the store too. */
const KEEP_WAIT_MS = 3_000
/** For so long a store that fails is asked again, whether the turn has its end or not. */
const KEEP_MS = 60_000
const KEEP_PAUSE_MS = 250

/** What other nodes do to the sessions of a journal that they share, and what this one does for those that are gone. */
export class SharedSessions {
  readonly #tools: EngineTools
  readonly #sessions: LiveSessions
  readonly #runner: SessionRunner
  readonly #unwatch: (() => void) | undefined
  #isDraining = false
  #isClosed = false

  constructor (tools: EngineTools, sessions: LiveSessions, runner: SessionRunner) {
    this.#tools = tools
    this.#sessions = sessions
    this.#runner = runner
    this.#unwatch = tools.named.journal.watch?.((news) => this.#hear(news))
  }

  /** From now on nothing is taken over. */
  drain (): void {
    this.#isDraining = true
  }

  close (): void {
    this.#isClosed = true
    this.#unwatch?.()
  }

  /** @returns whether it is something for this node, or when it is done */
  #hear (news: JournalNews): boolean | Promise<void> {
    switch (news.kind) {
      case 'free': return this.#takeOver(news.key)
      case 'left': return this.#salvage(news.key)
      case 'stopped': return this.#keepAnswer(news)
      case 'gone': this.#leave(news.key, news.turnId); break
      case 'lost': this.#stop(news)
    }
    return true
  }

  #takeOver (key: SessionKey): boolean {
    // Nodes may have different agents, as in the middle of an update.
    if (this.#isDraining || this.#tools.agents.find(key.agentId) === undefined) return false
    this.#runner.nextOf(key)
    return true
  }

  /** Of a run whose node is gone: keeps what it has said, and ends it. */
  #salvage (key: SessionKey): boolean {
    if (this.#isDraining) return false
    this.#salvaged(key).catch((err: unknown) => {
      this.#sessions.report({ key, turnId: '' }, err, 'a turn whose node is gone could not be ended')
    })
    return true
  }

  async #salvaged (key: SessionKey): Promise<void> {
    const { journal } = this.#sessions.home(true)
    const run = await journal.salvage(key)
    if (run === undefined) return
    await this.#keepAnswer(run)
    await journal.release(run, failedEnd('TURN_LOST'))
  }

  /** Settles when it is kept, or has taken its time: then it goes on. */
  async #keepAnswer (run: Run): Promise<void> {
    const kept = this.#keepInTheEnd(run)
    await new Promise<void>((resolve) => {
      const stop = this.#tools.clock.after(KEEP_WAIT_MS, resolve)
      void kept.then(() => {
        stop()
        resolve()
      })
    })
  }

  /** Never rejects. */
  async #keepInTheEnd ({ key, chat, text, messages }: Run): Promise<void> {
    const { clock, limits, named } = this.#tools
    const { turnId, message, metadata } = chat
    const at = clock.date()
    const question: SessionMessage = { turnId, role: 'user', content: message, at, complete: true }
    if (metadata !== undefined) question.metadata = metadata
    const answer: SessionMessage = { turnId, role: 'assistant', content: answerOf(text.toString(), messages), at, complete: false }
    const giveUpAt = clock.now() + KEEP_MS
    for (;;) {
      try {
        // What the other node has kept is not kept twice, nor what the store has taken without saying so.
        return await within(clock, limits.storeTimeoutMs, 'the session store', named.store.append(key, answer.content === '' ? [question] : [question, answer]))
      } catch (err) {
        if (this.#isClosed || clock.now() + KEEP_PAUSE_MS > giveUpAt) {
          return this.#sessions.report({ key, turnId }, err, 'the session store failed to keep what a lost turn had answered')
        }
        await new Promise<void>((resolve) => { clock.after(KEEP_PAUSE_MS, resolve) })
      }
    }
  }

  /** Another node has taken or ended a chat of ours. */
  #leave (key: SessionKey, turnId: string): void {
    const session = this.#sessions.find(key, true)
    const turn = session?.waiting.find(turnId)
    if (session !== undefined && turn !== undefined) this.#sessions.withdrawn(session, turn)
  }

  #stop ({ key, turnId, code }: Extract<JournalNews, { kind: 'lost' }>): void {
    const running = this.#sessions.find(key, true)?.running
    if (running?.turn.chat.turnId === turnId) running.run.stop(failedEnd(code), new Error('the right to run this turn is gone'))
  }
}
