import type { Entry } from '../journal/journal.js'
import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import { FeedFrames, type SharedEntry } from './feed-frames.js'
import { FrameBatch } from './frame-bytes.js'

/** Frames of so many of a session's newest entries are kept, */
const MAX_FRAMES = 1024
/** within so many bytes. */
const MAX_BYTES = 256 * 1024
const EMPTY = Buffer.alloc(0)

/** The sessions of this node that have readers: what several of them are told is made once. */
export class SharedFrames {
  readonly #sessionByText = new Map<string, SessionFrames>()

  /** To be closed by each who has opened it. */
  open (key: SessionKey): SessionFrames {
    const text = sessionKeyText(key)
    let session = this.#sessionByText.get(text)
    if (session === undefined) {
      session = new SessionFrames(key, () => { this.#sessionByText.delete(text) })
      this.#sessionByText.set(text, session)
    }
    session.readers++
    return session
  }
}

/** What the readers of one session are told, encoded once for all of them. */
export class SessionFrames {
  readers = 0
  readonly #frames: FeedFrames
  readonly #onUnused: () => void
  #batch: FrameBatch | undefined
  /** By `seq`, and so the newest ones. */
  readonly #kept: Array<KeptFrame | undefined> = []
  #keptBytes = 0

  constructor (key: SessionKey, onUnused: () => void) {
    this.#frames = new FeedFrames(key)
    this.#onUnused = onUnused
  }

  /** Adds the frame of an entry. */
  write (batch: FrameBatch, entry: SharedEntry): void {
    // Who reads alone has nobody to share with.
    if (this.readers < 2) return this.#frames.write(batch, entry)
    const kept = this.#kept[entry.seq % MAX_FRAMES]
    batch.borrow(kept?.entry === entry ? kept.bytes : this.#keep(entry))
  }

  close (): void {
    this.readers--
    if (this.readers < 2) this.#forget()
    if (this.readers === 0) this.#onUnused()
  }

  #keep (entry: SharedEntry): Buffer {
    this.#batch ??= new FrameBatch()
    this.#frames.write(this.#batch, entry)
    // Its memory is not given back: who borrows it may take its time.
    const [bytes = EMPTY] = this.#batch.take().chunks
    this.#keptBytes += bytes.length
    if (this.#keptBytes > MAX_BYTES) this.#kept.length = this.#keptBytes = 0
    this.#kept[entry.seq % MAX_FRAMES] = { entry, bytes }
    return bytes
  }

  #forget (): void {
    this.#kept.length = this.#keptBytes = 0
    this.#batch = undefined
  }
}

interface KeptFrame {
  entry: Entry
  bytes: Buffer
}
