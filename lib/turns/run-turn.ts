import type { FastifyBaseLogger } from 'fastify'

import { openAnswer, toPart, type PartIterator } from '../agent/answer.js'
import type { Executor, FinishPart, Part } from '../agent/executor.js'
import { isPromiseLike } from '../awaitable.js'
import type { Clock } from '../clock.js'
import type { Journal, Run, TurnEnd } from '../journal/journal.js'
import type { MessagePage, SessionStore } from '../sessions/session-store.js'
import { AnswerRecord } from './answer-record.js'
import { ExecutorTurn } from './executor-turn.js'
import { JournalWriter } from './journal-writer.js'
import { failedEnd, finishedEnd, StoreFailure, thrownEnd } from './turn-end.js'
import { transition, type TurnState } from './turn.js'
import { toError, within } from './within.js'

export interface TurnLimits {
  firstPartTimeoutMs: number
  idleTimeoutMs: number
  turnTimeoutMs: number
  storeTimeoutMs: number
  journalTimeoutMs: number
  slowConsumerTimeoutMs: number
  maxAnswerBytes: number
  maxEventBytes: number
}

export interface TurnTools {
  journal: Pick<Journal, 'append' | 'pace'>
  store: SessionStore
  executor: Executor
  limits: TurnLimits
  clock: Clock
  log: FastifyBaseLogger
}

/** So many parts are taken before the run looks whether its readers can follow. */
const PARTS_PER_PACE = 128
/** So many parts are taken before the run looks at the clock. */
const PARTS_PER_LOOK = 8
/** An executor that never waits would keep everybody else from the event loop; so long it may, and until the next look. */
const SLICE_MS = 10

/** Runs one executor, from the question to the end: reads its parts, writes them to the journal, ends exactly once. */
export class TurnRun {
  /** Settles when the terminal entry is written. Never rejects. */
  readonly ended: Promise<void>
  /** Settles when the executor has nothing more to do. Never rejects. */
  readonly returned: Promise<void>
  /** It has settled. */
  hasReturned = false
  readonly run: Run
  readonly #tools: TurnTools
  readonly #turn: ExecutorTurn
  readonly #writer: JournalWriter
  readonly #record: AnswerRecord
  readonly #startedAt: number
  #state: TurnState = 'starting'
  #iterator: PartIterator | undefined
  #finish: FinishPart | undefined
  #markEnded: (() => void) | undefined
  #parts = 0
  #sliceStart: number
  // What the watchdog saw last.
  #partsSeen = 0
  #progressAt: number
  #pace: { since: number, release: () => void } | undefined
  /** The readers have kept the run waiting for as long as they may. */
  #runsFree = false

  constructor (run: Run, tools: TurnTools) {
    this.run = run
    this.#tools = tools
    this.#turn = new ExecutorTurn(run.key, run.chat, { messages: (key, page) => this.#readHistory(key, page) }, tools.log)
    this.#record = new AnswerRecord(run, tools.limits.maxAnswerBytes)
    this.#writer = new JournalWriter(tools.journal, run, (err) => { this.#journalFailed(err) })
    this.#startedAt = this.#sliceStart = this.#progressAt = tools.clock.now()
    this.ended = new Promise((resolve) => { this.#markEnded = resolve })
    this.returned = this.#execute().catch((err: unknown) => {
      this.#log('error', err, 'a turn could not be run')
      this.stop(failedEnd('INTERNAL'), toError(err))
    }).then(() => { this.hasReturned = true })
  }

  /** How it ended, if the journal could not be told. */
  unwrittenEnd: TurnEnd | undefined

  /**
   * Ends the turn with what there is, unless its end is decided already. With a `reason` the executor is told to stop;
   * without one it has.
   * @returns whether it was this call that decided
   */
  stop (end: TurnEnd, reason?: Error): boolean {
    if (!this.#advance('stop')) return false
    if (reason !== undefined) this.#turn.abort(reason)
    this.#closeIterator()
    this.#pace?.release()
    this.#writeEnd(end).catch((err: unknown) => {
      this.#log('error', err, 'a turn could not be ended')
      this.unwrittenEnd = failedEnd('INTERNAL')
    }).finally(() => {
      this.#advance('end-written')
      this.#markEnded?.()
    })
    return true
  }

  /** The stall watchdog's look at the turn; one timer looks at all turns. */
  watch (now: number): void {
    if (this.#state !== 'starting' && this.#state !== 'streaming') return
    const { limits } = this.#tools
    if (this.#parts !== this.#partsSeen || this.#turn.waiting > 0) {
      this.#partsSeen = this.#parts
      this.#progressAt = now
    }
    if (now - this.#startedAt >= limits.turnTimeoutMs) return this.#timeOut('the whole turn', limits.turnTimeoutMs)
    if (this.#pace !== undefined) return this.#watchPace(this.#pace, now)
    const [limit, what] = this.#parts === 0
      ? [limits.firstPartTimeoutMs, 'the first part']
      : [limits.idleTimeoutMs, 'the next part']
    if (now - this.#progressAt >= limit) this.#timeOut(what, limit)
  }

  async #execute (): Promise<void> {
    const { executor } = this.#tools
    try {
      if (!await this.#keepQuestion()) return
      const returned = executor(this.#turn)
      const answer = openAnswer(isPromiseLike(returned) ? await returned : returned)
      if (answer.kind === 'whole') this.#takeWhole(answer.content)
      else await this.#takeParts(answer.iterator)
    } catch (err) {
      this.#fail(err)
    }
  }

  async #keepQuestion (): Promise<boolean> {
    const { turnId, message, metadata } = this.run.chat
    const question = { turnId, role: 'user', content: message, at: this.#tools.clock.date(), complete: true } as const
    try {
      await this.#keep(metadata === undefined ? question : { ...question, metadata })
    } catch (err) {
      this.#storeFailed(err)
      return false
    }
    return this.#state === 'starting'
  }

  #takeWhole (content: string): void {
    if (!this.#isOpen()) return
    const text = content.toWellFormed()
    if (!this.#record.hasRoomFor(text)) return this.#tooLarge()
    this.#record.keepWhole(text)
    this.#parts++
    this.stop({ finishReason: 'stop', content: text })
  }

  async #takeParts (iterator: PartIterator): Promise<void> {
    this.#iterator = iterator
    if (!this.#isOpen()) return this.#closeIterator()
    while (this.#isOpen()) {
      const step = iterator.next()
      const result = isPromiseLike(step) ? await step : step
      if (!this.#isOpen()) return
      if (result.done === true) return this.#partsEnded()
      if (this.#state === 'starting') this.#advance('part')
      this.#take(toPart(result.value))
      if (++this.#parts % PARTS_PER_PACE === 0 || this.#writer.isFull) await this.#keepPace()
      if (this.#parts % PARTS_PER_LOOK === 0 && this.#tools.clock.now() - this.#sliceStart >= SLICE_MS) await this.#breathe()
    }
  }

  #partsEnded (): void {
    // It has come to its end by itself: there is nothing to close.
    this.#iterator = undefined
    if (this.#parts === 0) this.#log('warn', undefined, 'the executor yielded nothing')
    this.stop(finishedEnd(this.#finish))
  }

  #take (part: Part): void {
    if (typeof part === 'string') return this.#takeText(part)
    switch (part.type) {
      case 'text': return this.#takeText(part.content)
      case 'message': return this.#takeMessage(part.content)
      case 'event': return this.#takeEvent(part.name, part.data)
      case 'finish': this.#finish = part
    }
  }

  #takeText (piece: string): void {
    const text = this.#record.join(piece)
    if (text === '') return
    if (this.#record.hasRoomFor(text)) return this.#writer.write({ kind: 'text', content: text })
    // The piece is refused whole, with the half of a character that it may have ended with.
    this.#record.rest()
    this.#tooLarge()
  }

  #takeMessage (content: string): void {
    const text = content.toWellFormed()
    if (!this.#record.hasRoomFor(text)) return this.#tooLarge()
    this.#record.keepMessage(text)
    this.#writer.write({ kind: 'message', content: text })
  }

  /** @throws TypeError when the data is no JSON, RangeError when it is too large */
  #takeEvent (name: string, data: unknown): void {
    const json = JSON.stringify(data) as string | undefined ?? 'null'
    const { maxEventBytes } = this.#tools.limits
    if (Buffer.byteLength(json) > maxEventBytes) {
      throw new RangeError(`the event ${name} has more than ${maxEventBytes} bytes of data (maxEventBytes)`)
    }
    this.#writer.write({ kind: 'event', name, json })
  }

  /** Lets commits land, and readers catch up. */
  async #keepPace (): Promise<void> {
    if (this.#writer.isFull) await this.#writer.settled()
    const pace = this.#tools.journal.pace(this.run)
    if (pace === undefined) this.#runsFree = false
    else if (!this.#runsFree && this.#isOpen()) await this.#waitForReaders(pace)
  }

  /** Lets the rest of the process run. */
  async #breathe (): Promise<void> {
    await new Promise((resolve) => { setImmediate(resolve) })
    this.#sliceStart = this.#tools.clock.now()
  }

  async #waitForReaders (pace: Promise<void>): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#pace = { since: this.#tools.clock.now(), release: resolve }
      void pace.then(resolve)
    })
    this.#pace = undefined
    this.#progressAt = this.#tools.clock.now()
  }

  #watchPace (pace: { since: number, release: () => void }, now: number): void {
    if (now - pace.since < this.#tools.limits.slowConsumerTimeoutMs) return
    this.#runsFree = true
    pace.release()
  }

  /** Keeps the answer, then writes the end: an end is never seen without its answer. */
  async #writeEnd (decided: TurnEnd): Promise<void> {
    let end = decided
    const rest = this.#record.rest()
    if (rest !== '') this.#writer.write({ kind: 'text', content: rest })
    if (!this.#writer.isSettled) await this.#writer.settled()
    const { turnId } = this.run.chat
    const content = this.#record.answer()
    // What had gathered when the journal failed is missing in it.
    const isAsWished = decided.error === undefined && decided.finishReason !== 'aborted'
    const complete = isAsWished && !this.#writer.hasFailed
    try {
      const at = this.#tools.clock.date()
      if (content !== '') await this.#keep({ turnId, role: 'assistant', content, at, complete })
    } catch (err) {
      this.#log('error', err, 'the session store failed to keep an answer')
      if (isAsWished) end = failedEnd('STORE_UNAVAILABLE')
    }
    this.#writer.write({ kind: 'end', end })
    if (!this.#writer.isSettled) await this.#writer.settled()
    if (this.#writer.hasFailed) this.unwrittenEnd = failedEnd('STORE_UNAVAILABLE')
  }

  /** @throws StoreFailure, which ends the turn as the store's fault and not the executor's */
  async #readHistory (...asked: Parameters<SessionStore['messages']>): Promise<MessagePage> {
    const { clock, limits, store } = this.#tools
    try {
      return await within(clock, limits.storeTimeoutMs, 'the session store', store.messages(...asked))
    } catch (err) {
      throw new StoreFailure('the session store failed to tell a history', { cause: err })
    }
  }

  #keep (message: Parameters<SessionStore['append']>[1][number]): Promise<void> {
    const { clock, limits, store } = this.#tools
    return within(clock, limits.storeTimeoutMs, 'the session store', store.append(this.run.key, [message]))
  }

  #fail (thrown: unknown): void {
    const err = toError(thrown)
    this.#closeIterator()
    if (!this.#isOpen()) return this.#log('debug', err, 'an executor failed after its turn was stopped')
    const { end, level, text } = thrownEnd(err)
    this.stop(end, err)
    this.#log(level, err, text)
  }

  #timeOut (what: string, ms: number): void {
    const err = new Error(`${what} took longer than ${ms} ms`)
    this.stop(failedEnd('AGENT_TIMEOUT'), err)
    this.#log('warn', err, 'the executor took too long')
  }

  #tooLarge (): void {
    const err = new RangeError(`the answer has more than ${this.#tools.limits.maxAnswerBytes} bytes (maxAnswerBytes)`)
    this.stop(failedEnd('ANSWER_TOO_LARGE'), err)
    this.#log('warn', err, 'the answer is too large')
  }

  #storeFailed (err: unknown): void {
    this.stop(failedEnd('STORE_UNAVAILABLE'), toError(err))
    this.#log('error', err, 'the session store failed to keep a question')
  }

  #journalFailed (err: Error): void {
    this.stop(failedEnd('STORE_UNAVAILABLE'), err)
    this.#log('error', err, 'the journal does not take any more of a turn')
  }

  #isOpen (): boolean { return this.#state === 'starting' || this.#state === 'streaming' }

  #advance (event: 'part' | 'stop' | 'end-written'): boolean {
    const next = transition(this.#state, event)
    if (next !== undefined) this.#state = next
    return next !== undefined
  }

  #closeIterator (): void {
    const iterator = this.#iterator
    this.#iterator = undefined
    try {
      const closed = iterator?.return?.()
      if (isPromiseLike(closed)) closed.then(undefined, (err: unknown) => { this.#closeFailed(err) })
    } catch (err) {
      this.#closeFailed(err)
    }
  }

  #closeFailed (err: unknown): void {
    this.#log('debug', err, 'an executor failed while it was closed')
  }

  #log (level: 'debug' | 'info' | 'warn' | 'error', thrown: unknown, text: string): void {
    this.#turn.log[level](thrown === undefined ? {} : { err: toError(thrown) }, text)
  }
}
