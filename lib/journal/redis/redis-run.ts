import { randomUUID } from 'node:crypto'

import type { NewEntry, Run, StoredChat, WholeMessage } from '../journal.js'
import { TurnText } from '../turn-text.js'
import type { SessionKey } from '../../protocol/session-key.js'
import type { decodeKept } from './redis-entries.js'
import type { SessionPlace } from './redis-keys.js'

/** The right of this node to run a turn. */
export class RedisRun implements Run {
  readonly place: SessionPlace
  readonly chat: StoredChat
  readonly epoch: string
  readonly fence: string
  readonly text: TurnText
  readonly messages: WholeMessage[]
  readonly onStop: () => boolean
  /** The last entry of the session that this node knows of. */
  seen: number
  /** The last batch that was written. */
  lastBatch = 0
  hasEnd = false
  /** It was released, or somebody else has the right. */
  isOver = false
  /** When Redis was asked for what it last granted, by the journal's clock: the lease is no older, however late the answer was. */
  confirmedAt: number

  /** @param said before this node had the right */
  constructor (
    place: SessionPlace, chat: StoredChat, [epoch, fence, seen]: [string, string, number], onStop: () => boolean, askedAt: number,
    said: Spoken
  ) {
    this.text = said.text
    this.messages = said.messages
    this.place = place
    this.chat = chat
    this.epoch = epoch
    this.fence = fence
    this.seen = seen
    this.onStop = onStop
    this.confirmedAt = askedAt
  }

  get key (): SessionKey { return this.place.key }

  /** A batch is in Redis. */
  written (batch: number, entries: readonly NewEntry[], seen: number, askedAt: number): void {
    const isFirst = this.text.length === 0
    this.lastBatch = batch
    this.seen = Math.max(this.seen, seen)
    this.confirmedAt = Math.max(this.confirmedAt, askedAt)
    for (const entry of entries) {
      if (entry.kind === 'text') this.text.append(entry.content, seen)
      if (entry.kind === 'end') this.hasEnd = true
    }
    this.text.pack(isFirst)
  }
}

/** What a turn has said, of what Redis has kept of it. */
export function spoken (said: ReturnType<typeof decodeKept>): Spoken {
  const [text, messages] = [new TurnText(), new Array<WholeMessage>()]
  for (const { entry: { kind, content }, seq } of said) {
    if (kind === 'text') text.append(content, seq)
    else messages.push({ content, textBefore: text.length })
  }
  return { text, messages }
}

interface Spoken {
  text: TurnText
  messages: WholeMessage[]
}

/** Names one try to get the right to run: asked for again with it, the answer is the same. */
export function newNonce (): string {
  return randomUUID()
}
