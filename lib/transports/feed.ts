import { andThen, attempt, isPromiseLike, type Awaitable } from '../awaitable.js'
import { FewIds } from '../few-ids.js'
import type { Entry, FollowFrom, OpenTurn, Position, TextReader, TurnIds, TurnView, Wake } from '../journal/journal.js'
import { encode } from '../protocol/encode.js'
import { TURN_STARTED } from '../protocol/names.js'
import type { ServerFrameOf } from '../protocol/server-frames.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { Engine } from '../turns/engine.js'
import type { FollowedSession, SessionFollower } from '../turns/follow-session.js'
import { FeedFrames, type EntryOf } from './feed-frames.js'
import type { FrameBatch } from './frame-bytes.js'
import { LOST, WRITTEN, type FrameSource } from './frame-source.js'
import type { SessionFrames } from './shared-frames.js'

/** So many pieces are told each time that a feed is asked. */
const PIECES_AT_ONCE = 16

export interface FeedTools {
  engine: Pick<Engine, 'followSession'>
  /** There may be something new; see `Wake`. */
  wake: Wake
  /** What this session's readers are told; closed with the feed. Without it each frame is a text. */
  shared?: SessionFrames | undefined
  /** A turn of the reader's own has been told to its end, or can no longer be told. */
  onTurnDone: () => void
  onFailure: (err: unknown, text: string) => void
}

/**
 * What one reader is told of one session: the turns that it began itself, or all that happens. In it `seq` rises, and
 * no entry comes twice.
 */
export class Feed implements FrameSource, TextReader {
  readonly key: SessionKey
  readonly frames: FeedFrames
  /** Turns that this reader began and whose ends it has not been told. */
  readonly own = new FewIds()
  readonly #tools: FeedTools
  /** Where pieces go that are given at once, and how many more it takes of them. */
  #batch: FrameBatch | undefined
  #wanted = 0
  /** Own turns that are read as one whole message. */
  readonly #joined = new FewIds()
  /** Turns that run or wait, as far as this reader has been told or is to be told. */
  #open = new FewIds()
  #follower: SessionFollower | undefined
  #isWhole = false
  #isClosed = false
  /** What the reader asks of the session happens one after another; nothing is told meanwhile. */
  #last: PromiseLike<void> | undefined
  /** Told unasked, also before what the reader has asked is answered. */
  #renewal: string | typeof LOST | undefined
  #onRenewalTold: () => void = () => {}

  constructor (key: SessionKey, tools: FeedTools) {
    this.key = key
    this.frames = new FeedFrames(key)
    this.#tools = tools
  }

  /** All that happens in the session is told. */
  get isWhole (): boolean { return this.#isWhole }

  /** It reads a session, if only since it was asked to. */
  get isOpen (): boolean { return this.#follower !== undefined }

  /** There is nothing that it still has to tell, or is asked for. */
  get isIdle (): boolean { return this.#last === undefined && this.#open.size === 0 && this.own.size === 0 }

  get position (): Position {
    if (this.#follower === undefined) throw new Error('a feed has no position before it is open')
    return { epoch: this.#follower.epoch, seq: this.#follower.seq }
  }

  /** Runs a task, which must not throw, once those before it are done. */
  run (task: () => Awaitable<void>): void {
    if (this.#last === undefined) {
      const done = this.#attempt(task)
      if (isPromiseLike(done)) this.#wait(done)
      else this.#tools.wake(true)
    } else {
      this.#wait(this.#last.then(() => this.#attempt(task)))
    }
  }

  next (isBehind: boolean): string | typeof LOST | undefined
  next (isBehind: boolean, batch?: FrameBatch): ReturnType<FrameSource['next']>
  next (isBehind: boolean, batch?: FrameBatch): ReturnType<FrameSource['next']> {
    if (this.#renewal !== undefined) return this.#takeRenewal()
    if (this.#last !== undefined) return undefined
    if (batch !== undefined && !isBehind && this.#writePieces(batch)) return WRITTEN
    for (;;) {
      const entry = this.#follower?.next(isBehind)
      if (entry === undefined) return undefined
      if (entry === 'lost') return this.#startAnew()
      const frame = batch === undefined ? this.#frameOf(entry) : this.#write(entry, batch)
      if (frame !== undefined) return frame
    }
  }

  /**
   * Follows from a position, if it does not yet, or from now on, where there is room; for its own turns.
   * @returns what to tell before anything of the session, where it goes on behind the position
   */
  join (position?: Position): Awaitable<ServerFrameOf<'subscribed'> | undefined> {
    if (this.#follower !== undefined) return undefined
    return andThen(this.#follow({ turns: this.own, position }), (followed) => {
      // No room: nothing runs in the session, not even a turn that was taken a moment ago.
      if (followed === undefined || !this.#adopt(followed) || position === undefined || followed.recovered) return undefined
      return this.#missed(followed)
    })
  }

  /**
   * Follows the whole session. What it followed before ends here, told or not.
   * @returns what to tell, before anything of the session; `undefined` when there is no room for one more session
   */
  async subscribe (position: Position | undefined, id: string | undefined): Promise<ServerFrameOf<'subscribed'> | undefined> {
    const followed = await this.#follow({ position: this.#follower === undefined ? position : undefined })
    if (followed === undefined) return undefined
    this.#isWhole = true
    if (!this.#adopt(followed)) return undefined
    return this.frames.subscribed(this.position, followed.recovered, followed.turns, id)
  }

  /** Goes back to its own turns. */
  unsubscribe (): void {
    this.#isWhole = false
    this.#follower?.narrow(this.own)
    for (const turnId of this.#open) if (!this.own.has(turnId)) this.#open.delete(turnId)
  }

  /** Begins to tell a turn of the reader's own, from the feed's place on. */
  addOwn (turnId: string, isStreamed: boolean): void {
    this.own.add(turnId)
    if (!isStreamed) this.#joined.add(turnId)
  }

  /** The turn was taken back: nobody will tell its end. */
  dropOwn (turnId: string): void {
    // Another's turn of that id goes on.
    if (this.own.has(turnId)) this.#finish(turnId)
  }

  /** A turn as the reader knows it. */
  view (turnId: string): TurnView | undefined {
    return this.#follower?.view(turnId)
  }

  /** Goes on from now on, where the feed's place is too far back to say how much of a turn the reader knows. */
  async catchUp (): Promise<ServerFrameOf<'subscribed'> | undefined> {
    const followed = await this.#follow({ turns: this.#turns() })
    if (followed === undefined || !this.#adopt(followed)) return undefined
    return this.frames.subscribed(this.position, followed.recovered, this.#meant(followed.turns), undefined)
  }

  close (): void {
    if (!this.#isClosed) this.#tools.shared?.close()
    this.#isClosed = true
    this.#follower?.close()
    this.#follower = undefined
    this.#onRenewalTold()
  }

  #attempt (task: () => Awaitable<void>): Awaitable<void> {
    return attempt(task, (err) => { this.#tools.onFailure(err, 'what a client asked of a session could not be done') })
  }

  #wait (last: PromiseLike<void>): void {
    this.#last = last
    void last.then(() => {
      if (this.#last !== last) return
      this.#last = undefined
      this.#tools.wake(true)
    })
  }

  #follow (from: FollowFrom): Awaitable<FollowedSession | undefined> {
    return this.#tools.engine.followSession(this.key, from, this.#tools.wake)
  }

  /** `false`: nobody reads any more. */
  #adopt ({ follower, recovered, turns }: FollowedSession): boolean {
    this.#follower?.close()
    if (this.#isClosed) {
      follower.close()
      return false
    }
    this.#follower = follower
    follower.narrow(this.#turns())
    const open = new FewIds()
    for (const { chat: { turnId } } of turns) if (this.#isWhole || this.own.has(turnId)) open.add(turnId)
    this.#open = open
    // What has ended behind the reader's back is in the history.
    if (!recovered) for (const turnId of this.own) if (!open.has(turnId)) this.#finish(turnId)
    return true
  }

  #turns (): TurnIds | undefined {
    return this.#isWhole ? undefined : this.own
  }

  /** More was lost than text. */
  #startAnew (): string | typeof LOST | undefined {
    let followed: Awaitable<FollowedSession | undefined>
    try {
      followed = this.#follow({ turns: this.#turns() })
    } catch (err) {
      return this.#lose(err)
    }
    if (!isPromiseLike(followed)) return this.#renewed(followed)
    this.run(async () => {
      this.#renewal = await followed.then((found) => this.#renewed(found), (err: unknown) => this.#lose(err))
      if (this.#isClosed) return
      // What was asked meanwhile is answered from the new place: not before the reader knows of it.
      const told = new Promise<void>((resolve) => { this.#onRenewalTold = resolve })
      this.#tools.wake(true)
      await told
    })
    return undefined
  }

  #takeRenewal (): string | typeof LOST | undefined {
    const renewal = this.#renewal
    this.#renewal = undefined
    this.#onRenewalTold()
    return renewal
  }

  #lose (err: unknown): typeof LOST {
    this.#tools.onFailure(err, 'a session could not be followed any more')
    return LOST
  }

  #renewed (followed: FollowedSession | undefined): string | typeof LOST {
    if (followed === undefined || !this.#adopt(followed)) return LOST
    return encode(this.#missed(followed))
  }

  #missed ({ turns }: FollowedSession): ServerFrameOf<'subscribed'> {
    return this.frames.subscribed(this.position, false, this.#meant(turns), undefined)
  }

  /** A reader of its own turns would wait for the ends of others. */
  #meant (turns: OpenTurn[]): OpenTurn[] {
    return this.#isWhole ? turns : turns.filter(({ chat }) => this.own.has(chat.turnId))
  }

  /** The short way, where each piece is told as it is, and to this reader alone. Answers whether there were any. */
  #writePieces (batch: FrameBatch): boolean {
    if (this.#joined.size > 0 || this.#tools.shared?.isShared === true) return false
    this.#batch = batch
    this.#wanted = PIECES_AT_ONCE
    const hasWritten = this.#follower?.nextTexts(this) === true
    // It belongs to the outbox.
    this.#batch = undefined
    return hasWritten
  }

  takeText (content: string, turnId: string, seq: number): boolean {
    const batch = this.#batch
    if (batch === undefined) throw new Error('pieces are taken only while they are asked for')
    this.frames.writePiece(batch, content, turnId, seq)
    return --this.#wanted > 0 && batch.size < batch.limit
  }

  #write (entry: Entry, batch: FrameBatch): string | typeof LOST | typeof WRITTEN | undefined {
    if (entry.kind === 'end') return this.#endFrame(entry)
    if (entry.kind !== 'text') this.#seeOpen(entry)
    else if (this.#joined.size > 0 && this.#joined.has(entry.turnId ?? '')) return undefined
    const { shared } = this.#tools
    if (shared?.isShared === true) shared.write(batch, entry)
    else this.frames.write(batch, entry)
    return WRITTEN
  }

  #frameOf (entry: Entry): string | typeof LOST | undefined {
    this.#seeOpen(entry)
    switch (entry.kind) {
      case 'text': return this.#joined.has(entry.turnId ?? '') ? undefined : this.frames.piece(entry)
      case 'message': return this.frames.message(entry)
      case 'event': return this.frames.event(entry)
      case 'end': return this.#endFrame(entry)
    }
  }

  #seeOpen (entry: Entry): void {
    if (entry.kind === 'event' && entry.name === TURN_STARTED && entry.turnId !== undefined) this.#open.add(entry.turnId)
  }

  #endFrame ({ turnId = '', end, seq }: EntryOf<'end'>): string | typeof LOST | undefined {
    const joined = this.#joined.has(turnId) ? this.#follower?.view(turnId) : { text: undefined }
    // The text that the reader waits for is kept no longer.
    if (joined === undefined) return this.#startAnew()
    this.#finish(turnId)
    return this.frames.end(turnId, end, seq, joined.text)
  }

  #finish (turnId: string): void {
    this.#open.delete(turnId)
    this.#joined.delete(turnId)
    if (this.own.delete(turnId)) this.#tools.onTurnDone()
  }
}
