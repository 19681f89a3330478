import type { SessionKey } from '../../lib/protocol/session-key.js'
import type { Entry, Followed, Journal, NewEntry, Run, SessionCursor, StoredChat, TurnView } from '../../lib/journal/journal.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import { CursorDouble, JournalDouble, withCursor } from './journal-double.js'
import type { Plant } from './bench.js'

/** Bugs that the run must find: what each would be in the code, and where it is put. */
export const BUGS: Record<string, Plant> = {
  'a recovered feed goes on one entry late': readThrough((cursor, { recovered }) => recovered ? new SkippingCursor(cursor) : cursor),
  'an entry is told again when a reader has joined live': readThrough((cursor) => new RepeatingCursor(cursor)),
  'a follower is not told an end': readThrough((cursor) => new EndlessCursor(cursor)),
  'a follower is told an end twice': readThrough((cursor) => new TwoEndsCursor(cursor)),
  'what is caught up beyond the tail is a character short': readThrough((cursor) => new ForgetfulCursor(cursor)),
  'a piece that is merged loses its first neighbour': readThrough((cursor) => new MergingCursor(cursor)),
  'the text in an ack is a character short': readThrough((cursor) => new ShortViewCursor(cursor)),
  'the text in a subscribed is a character short': {
    journal: (journal) => new class extends JournalDouble {
      override follow (...given: Parameters<Journal['follow']>) {
        const followed = super.follow(...given) as Followed | undefined
        const turns = followed?.turns.map((turn) => turn.text === undefined ? turn : { ...turn, text: turn.text.slice(0, -1) })
        return followed && turns && { ...followed, turns }
      }
    }(journal)
  },
  'a position that is no longer held is said to be recovered': {
    journal: (journal) => new class extends JournalDouble {
      override follow (...given: Parameters<Journal['follow']>) {
        const followed = super.follow(...given) as Followed | undefined
        return followed && { ...followed, recovered: followed.recovered || given[1].position?.epoch === followed.cursor.epoch }
      }
    }(journal)
  },
  'a chat that is sent again runs again': {
    journal: (journal) => new class extends JournalDouble {
      override offer (key: SessionKey, chat: StoredChat, terms: Parameters<Journal['offer']>[2]) {
        const unclaimed = { ...chat }
        delete unclaimed.bodyHash
        return super.offer(key, unclaimed, terms)
      }

      override claimed () { return undefined }
    }(journal)
  },
  'another message under the same id is taken for the same chat': {
    journal: (journal) => new class extends JournalDouble {
      override offer (key: SessionKey, chat: StoredChat, terms: Parameters<Journal['offer']>[2]) {
        return super.offer(key, chat.bodyHash === undefined ? chat : { ...chat, bodyHash: 'the same' }, terms)
      }

      override claimed (key: SessionKey, chat: Parameters<Journal['claimed']>[1]) {
        return super.claimed(key, chat.bodyHash === undefined ? chat : { ...chat, bodyHash: 'the same' })
      }
    }(journal)
  },
  'a stopped turn writes on': {
    journal: (journal) => new class extends JournalDouble {
      override append (run: Run, batch: number, entries: readonly NewEntry[]) {
        return super.append(run, batch, entries.flatMap((entry) => isAborted(entry) ? [{ kind: 'text', content: 'more' } as const, entry] : [entry]))
      }
    }(journal)
  },
  'a cancelled turn is answered as stopped, and runs on': {
    journal: (journal) => new class extends JournalDouble {
      override take (key: SessionKey) {
        return super.take(key, () => true)
      }
    }(journal)
  },
  'a partial answer is not kept': {
    store: (store) => storeWith(store, (key, messages) => store.append(key, messages.filter(({ complete }) => complete)))
  },
  'a partial answer is kept as complete': {
    store: (store) => storeWith(store, (key, messages) => store.append(key, messages.map((message) => ({ ...message, complete: true }))))
  },
  'owners share their sessions': {
    journal: (journal) => new class extends JournalDouble {
      override follow (key: SessionKey, ...rest: [Parameters<Journal['follow']>[1], () => void]) {
        return super.follow(key.owner === 'b' && key.sessionId === 's1' ? { ...key, owner: 'a' } : key, ...rest)
      }
    }(journal)
  },
  'a reader that has left is still counted': readThrough((cursor) => new StayingCursor(cursor))
}

function readThrough (made: (cursor: SessionCursor, followed: Followed) => SessionCursor): Plant {
  return {
    journal: (journal) => new class extends JournalDouble {
      override follow (...given: Parameters<Journal['follow']>) {
        return withCursor(super.follow(...given), (followed) => made(followed.cursor, followed))
      }
    }(journal)
  }
}

class SkippingCursor extends CursorDouble {
  #hasSkipped = false

  override next (mergeUnits: number): Entry | 'lost' | undefined {
    const entry = super.next(mergeUnits)
    if (this.#hasSkipped || entry === undefined) return entry
    this.#hasSkipped = true
    return super.next(mergeUnits)
  }
}

class RepeatingCursor extends CursorDouble {
  #state: 'behind' | 'live' | 'repeated' = 'behind'
  #again: Entry | undefined

  override next (mergeUnits: number): Entry | 'lost' | undefined {
    const again = this.#again
    this.#again = undefined
    if (again !== undefined) return again
    const entry = super.next(mergeUnits)
    if (entry === undefined && this.#state === 'behind') this.#state = 'live'
    else if (typeof entry === 'object' && this.#state === 'live') {
      this.#state = 'repeated'
      this.#again = entry
    }
    return entry
  }
}

class EndlessCursor extends CursorDouble {
  override next (mergeUnits: number): Entry | 'lost' | undefined {
    const entry = super.next(mergeUnits)
    const isMeant = typeof entry === 'object' && entry.kind === 'end' && entry.seq % 7 === 0
    return isMeant ? super.next(mergeUnits) : entry
  }
}

class TwoEndsCursor extends CursorDouble {
  #again: Entry | undefined

  override next (mergeUnits: number): Entry | 'lost' | undefined {
    const again = this.#again
    this.#again = undefined
    if (again !== undefined) return again
    const entry = super.next(mergeUnits)
    if (typeof entry === 'object' && entry.kind === 'end' && entry.seq % 7 === 0) this.#again = { ...entry, seq: entry.seq }
    return entry
  }
}

/** What was not to be merged, and covers several entries all the same, was caught up. */
class ForgetfulCursor extends CursorDouble {
  override next (mergeUnits: number): Entry | 'lost' | undefined {
    const { seq } = this
    const entry = super.next(mergeUnits)
    if (typeof entry !== 'object' || entry.kind !== 'text' || this.turns !== undefined || mergeUnits > 0 || entry.seq <= seq + 1) return entry
    return { ...entry, content: entry.content.slice(1) }
  }
}

class MergingCursor extends CursorDouble {
  override next (mergeUnits: number): Entry | 'lost' | undefined {
    const { seq } = this
    const entry = super.next(mergeUnits)
    if (typeof entry !== 'object' || entry.kind !== 'text' || mergeUnits === 0 || entry.seq <= seq + 1) return entry
    return { ...entry, content: entry.content.slice(1) }
  }
}

class ShortViewCursor extends CursorDouble {
  override view (turnId: string): TurnView | undefined {
    const view = super.view(turnId)
    return view && { ...view, text: view.text.slice(0, -1) }
  }
}

class StayingCursor extends CursorDouble {
  override close (): void {
    if (this.seq % 5 !== 0) super.close()
  }
}

function storeWith (store: SessionStore, append: SessionStore['append']): SessionStore {
  return {
    append,
    messages: (...given) => store.messages(...given),
    turn: (...given) => store.turn(...given),
    list: (...given) => store.list(...given),
    delete: (...given) => store.delete(...given),
    close: () => store.close?.()
  }
}

function isAborted (entry: NewEntry): boolean {
  return entry.kind === 'end' && entry.end.finishReason === 'aborted'
}
