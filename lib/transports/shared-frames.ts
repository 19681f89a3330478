import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import { FeedFrames, type SharedEntry } from './feed-frames.js'
import { FrameBatch, type FrameMemory } from './frame-bytes.js'

/** Frames of so many of a session's newest entries are kept, */
const MAX_FRAMES = 1024
/** within so many bytes. */
const MAX_BYTES = 256 * 1024
/** When so many bytes were made, of all sessions, all are forgotten: most readers have been told them long before. */
const MAX_BYTES_IN_ALL = 32 * 1024 * 1024

/** The sessions of this node that have readers: what several of them are told is made once. */
export class SharedFrames {
  readonly #sessionByText = new Map<string, SessionFrames>()
  /** The frames of all sessions lie in it: where each had a slab, most of that would be empty. */
  #batch: FrameBatch | undefined
  /** Made since all were forgotten. */
  #bytes = 0

  /** To be closed by each who has opened it. */
  open (key: SessionKey): SessionFrames {
    const text = sessionKeyText(key)
    let session = this.#sessionByText.get(text)
    if (session === undefined) {
      session = new SessionFrames(key, {
        make: (frames, entry) => this.#make(frames, entry),
        onUnused: () => { this.#sessionByText.delete(text) }
      })
      this.#sessionByText.set(text, session)
    }
    session.readers++
    return session
  }

  #make (frames: FeedFrames, entry: SharedEntry): FrameMemory {
    this.#batch ??= new FrameBatch()
    frames.write(this.#batch, entry)
    const made = this.#batch.lend()
    this.#bytes += made.length
    if (this.#bytes > MAX_BYTES_IN_ALL) {
      for (const session of this.#sessionByText.values()) session.forget()
      this.#bytes = made.length
    }
    return made
  }
}

/** What the readers of one session are told, encoded once for all of them. */
export class SessionFrames {
  readers = 0
  readonly #key: SessionKey
  #frames: FeedFrames | undefined
  readonly #tools: SessionFramesTools
  /** By `seq`, and so the newest ones. */
  readonly #kept: Array<KeptFrame | undefined> = []
  #keptBytes = 0

  constructor (key: SessionKey, tools: SessionFramesTools) {
    this.#key = key
    this.#tools = tools
  }

  /** Who reads alone has nobody to share with. */
  get isShared (): boolean { return this.readers > 1 }

  /** Adds the frame of an entry. */
  write (batch: FrameBatch, entry: SharedEntry): void {
    const kept = this.#kept[entry.seq % MAX_FRAMES]
    batch.borrow(kept?.tells(entry) === true ? kept : this.#keep(entry))
  }

  /** Nothing is kept any more; what is asked for is made anew. */
  forget (): void {
    this.#kept.length = this.#keptBytes = 0
  }

  close (): void {
    this.readers--
    if (this.readers < 2) this.forget()
    if (this.readers === 0) this.#tools.onUnused()
  }

  #keep (entry: SharedEntry): FrameMemory {
    this.#frames ??= new FeedFrames(this.#key)
    const made = this.#tools.make(this.#frames, entry)
    if (this.#keptBytes + made.length > MAX_BYTES) this.forget()
    const kept = this.#kept[entry.seq % MAX_FRAMES] ??= new KeptFrame()
    this.#keptBytes += made.length - kept.length
    kept.set(entry, made)
    return kept
  }
}

const NOTHING = new ArrayBuffer(0)

/** A frame, and what it tells. What is kept later takes its place: objects made anew would all grow old. */
class KeptFrame implements FrameMemory {
  buffer: FrameMemory['buffer'] = NOTHING
  byteOffset = 0
  length = 0
  /** Of text its content: each reader is given an entry of its own, and one that is behind several in one. */
  #told: string | SharedEntry = ''
  #turnId: string | undefined
  #seq = 0

  set (entry: SharedEntry, { buffer, byteOffset, length }: FrameMemory): void {
    this.buffer = buffer
    this.byteOffset = byteOffset
    this.length = length
    this.#told = toldBy(entry)
    this.#turnId = entry.turnId
    this.#seq = entry.seq
  }

  tells (entry: SharedEntry): boolean {
    return this.#seq === entry.seq && this.#told === toldBy(entry) && this.#turnId === entry.turnId
  }
}

function toldBy (entry: SharedEntry): string | SharedEntry {
  return entry.kind === 'text' ? entry.content : entry
}

interface SessionFramesTools {
  /** The frame of an entry, in memory that does not change any more. */
  make: (frames: FeedFrames, entry: SharedEntry) => FrameMemory
  onUnused: () => void
}
