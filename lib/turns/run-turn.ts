import { openAnswer, toPart, type PartIterator } from '../agent/answer.js'
import type { Answer, Executor, FinishPart, Part } from '../agent/executor.js'
import { inParts } from '../agent/full-stream.js'
import { isPromiseLike, type Awaitable } from '../awaitable.js'
import type { Run, TurnEnd } from '../journal/journal.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { MessagePage, PageRequest, SessionStore } from '../sessions/session-store.js'
import { AnswerRecord } from './answer-record.js'
import { ExecutorTurn } from './executor-turn.js'
import { JournalWriter, type JournalWriterOwner } from './journal-writer.js'
import { loopTurn } from './loop-turns.js'
import { isEarly, isLookDue, RunPace } from './run-pace.js'
import { failedEnd, finishedEnd, thrownEnd } from './turn-end.js'
import { TurnEnding, type TurnEndingOwner } from './turn-ending.js'
import { TurnHistory } from './turn-history.js'
import type { TurnRunOwner, TurnTools } from './turn-tools.js'
import { transition, type TurnState } from './turn.js'
import { toError } from './within.js'

/**
 * Runs one executor, from the question to the end: reads its parts, writes them to the journal, ends exactly once. Where
 * executor, store and journal answer at once, so is all of it done at once.
 */
export class TurnRun implements JournalWriterOwner, TurnEndingOwner, Pick<SessionStore, 'messages'> {
  // What every part touches stands together: of many turns nothing is in the processor's cache.
  #state: TurnState = 'starting'
  #parts = 0
  readonly #record: AnswerRecord
  readonly #writer: JournalWriter
  /** Made at the first look: a few pieces need none. */
  #pace: RunPace | undefined
  readonly #tools: TurnTools
  #iterator: PartIterator | undefined
  /** The executor has nothing more to do. */
  hasReturned = false
  readonly run: Run
  /** How it ended, if the journal could not be told. */
  unwrittenEnd: TurnEnd | undefined
  readonly #executor: Executor
  readonly #turn: ExecutorTurn
  readonly #owner: TurnRunOwner
  readonly #startedAt: number
  /** The turn of the event loop in which its parts began. */
  #askedIn = 0
  #questionKept: Awaitable<void> = undefined
  #finish: FinishPart | undefined
  // What the watchdog saw last. All times are whole numbers, which need no memory of their own.
  #partsSeen = 0
  #progressAt: number

  constructor (run: Run, executor: Executor, tools: TurnTools, owner: TurnRunOwner) {
    this.run = run
    this.#executor = executor
    this.#tools = tools
    this.#owner = owner
    this.#turn = new ExecutorTurn(run.key, run.chat, this, tools.log)
    this.#record = new AnswerRecord(run, tools.limits.maxAnswerBytes)
    this.#writer = new JournalWriter(tools.journal, run, this)
    this.#startedAt = this.#progressAt = Math.floor(tools.clock.now())
  }

  /** Its end is written, or could not be. */
  get hasEnded (): boolean { return this.#state === 'ended' }

  /** To be called once, before {@link start}. */
  keepQuestion (): void {
    try {
      this.#questionKept = this.#openHistory().keepQuestion()
    } catch (err) {
      this.#storeFailed(err)
    }
  }

  /** Asks the executor when the question is kept, unless the turn was stopped. */
  start (): void {
    if (isPromiseLike(this.#questionKept)) void this.#askLater(this.#questionKept)
    else this.#ask()
  }

  /** What was said in the session before. */
  messages (key: SessionKey, page: PageRequest): Promise<MessagePage> {
    return this.#openHistory().messages(key, page)
  }

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
    this.#end(end)
    return true
  }

  /**
   * The stall watchdog's look at the turn; one timer looks at all turns.
   * @param now in whole milliseconds
   */
  watch (now: number): void {
    if (this.#state !== 'starting' && this.#state !== 'streaming') return
    const { limits } = this.#tools
    if (this.#parts !== this.#partsSeen || this.#turn.waiting > 0) {
      this.#partsSeen = this.#parts
      this.#progressAt = now
    }
    if (now - this.#startedAt >= limits.turnTimeoutMs) return this.#timeOut('the whole turn', limits.turnTimeoutMs)
    if (this.#pace?.watch(now) === true) return
    const limit = this.#parts === 0 ? limits.firstPartTimeoutMs : limits.idleTimeoutMs
    if (now - this.#progressAt >= limit) this.#timeOut(this.#parts === 0 ? 'the first part' : 'the next part', limit)
  }

  async #askLater (questionKept: PromiseLike<void>): Promise<void> {
    try {
      await questionKept
    } catch (err) {
      this.#storeFailed(err)
    }
    this.#ask()
  }

  #ask (): void {
    if (this.#state !== 'starting') return this.#returned()
    try {
      const answer = this.#executor(this.#turn)
      if (isPromiseLike(answer)) void this.#takeLater(answer)
      else this.#takeAnswer(answer)
    } catch (err) {
      this.#fail(err)
    }
  }

  async #takeLater (answer: PromiseLike<Answer>): Promise<void> {
    try {
      this.#takeAnswer(await answer)
    } catch (err) {
      this.#fail(err)
    }
  }

  /** @throws whatever the executor does */
  #takeAnswer (answer: Answer): void {
    const opened = openAnswer(inParts(answer, this.#turn))
    if (opened.kind === 'parts') return this.#takeParts(opened.iterator)
    this.#returned()
    this.#takeWhole(opened.content)
  }

  #takeWhole (content: string): void {
    if (!this.#isOpen()) return
    const text = content.toWellFormed()
    if (!this.#record.hasRoomFor(text)) return this.#tooLarge()
    this.#record.keepWhole(text)
    this.#parts++
    this.stop({ finishReason: 'stop', content: text })
  }

  /** What is there at once is gathered for one append. */
  #takeParts (iterator: PartIterator): void {
    this.#iterator = iterator
    this.#askedIn = loopTurn()
    if (!this.#isOpen()) this.#closeIterator()
    while (this.#isOpen()) {
      const step = iterator.next()
      if (isPromiseLike(step)) return void this.#takePartsLater(iterator, step)
      this.#takeStep(step)
      if (this.#isToPause()) return void this.#takePartsLater(iterator)
    }
    this.#returned()
  }

  async #takePartsLater (iterator: PartIterator, first?: PromiseLike<IteratorResult<unknown>>): Promise<void> {
    try {
      if (first === undefined) await this.#pause()
      for (let step: ReturnType<PartIterator['next']> | undefined = first; this.#isOpen(); step = undefined) {
        step ??= iterator.next()
        if (isPromiseLike(step)) {
          this.#writer.flush()
          this.#takeStep(await step)
        } else {
          this.#takeStep(step)
        }
        if (this.#isToPause()) await this.#pause()
      }
      this.#returned()
    } catch (err) {
      this.#fail(err)
    }
  }

  #takeStep ({ done, value }: IteratorResult<unknown>): void {
    if (!this.#isOpen()) return
    if (done === true) return this.#partsEnded()
    if (this.#state === 'starting') this.#advance('part')
    this.#take(toPart(value))
    this.#parts++
  }

  #isToPause (): boolean {
    return this.#isOpen() && (this.#writer.isFull || (isLookDue(this.#parts) && !this.#isEarly() && this.#openPace().isDue(this.#parts)))
  }

  #isEarly (): boolean { return this.#pace === undefined && isEarly(this.#parts, this.#tools.clock.now(), this.#startedAt, this.#askedIn) }

  #openPace (): RunPace { return this.#pace ??= new RunPace(this.run, this.#writer, this.#tools, this.#startedAt, this.#askedIn) }

  async #pause (): Promise<void> {
    this.#writer.flush()
    await this.#openPace().pause(this.#parts)
    this.#progressAt = Math.floor(this.#tools.clock.now())
  }

  #partsEnded (): void {
    // It has come to its end by itself: there is nothing to close.
    this.#iterator = undefined
    if (this.#parts === 0) this.#log('warn', undefined, 'the executor yielded nothing')
    this.#returned()
    this.stop(finishedEnd(this.#finish))
  }

  #take (part: Part): void {
    if (typeof part === 'string') return this.#takeText(part)
    switch (part.type) {
      case 'text': return this.#takeText(part.content)
      case 'message': return this.#takeMessage(part.content)
      case 'event': return this.#takeEvent(part.name, part.data)
      case 'metadata': return this.#takeMetadata(part.metadata)
      case 'finish': this.#finish = part
    }
  }

  #takeText (piece: string): void {
    const text = this.#record.join(piece)
    if (text === '') return
    if (this.#record.hasRoomFor(text)) return this.#writer.add({ kind: 'text', content: text })
    // The piece is refused whole, with the half of a character that it may have ended with.
    this.#record.rest()
    this.#tooLarge()
  }

  #takeMessage (content: string): void {
    const text = content.toWellFormed()
    if (!this.#record.hasRoomFor(text)) return this.#tooLarge()
    this.#record.keepMessage(text)
    this.#writer.add({ kind: 'message', content: text })
  }

  /** @throws TypeError when the data is no JSON, RangeError when it is too large */
  #takeEvent (name: string, data: unknown): void {
    const json = JSON.stringify(data) as string | undefined ?? 'null'
    const { maxEventBytes } = this.#tools.limits
    if (Buffer.byteLength(json) > maxEventBytes) {
      throw new RangeError(`the event ${name} has more than ${maxEventBytes} bytes of data (maxEventBytes)`)
    }
    this.#writer.add({ kind: 'event', name, json })
  }

  #takeMetadata (metadata: Record<string, unknown>): void {
    if (!this.#record.keepMetadata(metadata)) this.#log('warn', undefined, 'the metadata of an answer is too large to be kept')
  }

  #end (end: TurnEnd): void {
    const ending = new TurnEnding(this.#record, this.#writer, this.#openHistory(), this).write(end)
    if (isPromiseLike(ending)) void ending.then((unwrittenEnd) => { this.#ended(unwrittenEnd) })
    else this.#ended(ending)
  }

  #ended (unwrittenEnd: TurnEnd | undefined): void {
    this.unwrittenEnd = unwrittenEnd
    this.#advance('end-written')
    this.#owner.onEnded()
  }

  #returned (): void {
    if (this.hasReturned) return
    this.hasReturned = true
    this.#owner.onReturned()
  }

  #openHistory (): TurnHistory { return new TurnHistory(this.run, this.#tools) }

  #fail (thrown: unknown): void {
    const err = toError(thrown)
    this.#closeIterator()
    this.#returned()
    if (!this.#isOpen()) return this.#log('debug', err, 'an executor failed after its turn was stopped')
    try {
      const { end, level, text } = thrownEnd(err)
      // Before the end: with it the session's next turn may begin.
      this.#log(level, err, text)
      this.stop(end, err)
    } catch (fault) {
      // Whatever was thrown, its turn has an end.
      this.#log('error', fault, 'a turn could not be run')
      this.stop(failedEnd('INTERNAL'), err)
    }
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

  onJournalFailure (err: Error): void {
    this.stop(failedEnd('STORE_UNAVAILABLE'), err)
    this.#log('error', err, 'the journal does not take any more of a turn')
  }

  onFailure (err: unknown, text: string): void { this.#log('error', err, text) }

  #isOpen (): boolean { return this.#state === 'starting' || this.#state === 'streaming' }

  #advance (event: 'part' | 'stop' | 'end-written'): boolean {
    const next = transition(this.#state, event)
    if (next !== undefined) this.#state = next
    return next !== undefined
  }

  #closeIterator (): void {
    const iterator = this.#iterator
    this.#iterator = undefined
    const failed = (err: unknown): void => { this.#log('debug', err, 'an executor failed while it was closed') }
    try {
      const closed = iterator?.return?.()
      if (isPromiseLike(closed)) closed.then(undefined, failed)
    } catch (err) {
      failed(err)
    }
  }

  #log (level: 'debug' | 'info' | 'warn' | 'error', thrown: unknown, text: string): void {
    this.#turn.log[level](thrown === undefined ? {} : { err: toError(thrown) }, text)
  }
}
