import type { SessionStore } from '../../lib/sessions/session-store.js'
import { sessionKeyText } from '../../lib/protocol/session-key.js'
import type { Random } from '../fuzz/random.js'
import { SlowLine } from './slow-line.js'

/** A session store as over a network: see `AsyncJournal`. */
export class AsyncSessionStore implements SessionStore {
  readonly #inner: SessionStore
  readonly #line: SlowLine

  constructor (inner: SessionStore, random: Random) {
    this.#inner = inner
    this.#line = new SlowLine(random)
  }

  append: SessionStore['append'] = (key, messages) => this.#line.call(sessionKeyText(key), () => this.#inner.append(key, messages))
  messages: SessionStore['messages'] = (key, page) => this.#line.call(sessionKeyText(key), () => this.#inner.messages(key, page))
  turn: SessionStore['turn'] = (key, turnId) => this.#line.call(sessionKeyText(key), () => this.#inner.turn(key, turnId))
  list: SessionStore['list'] = (of, page) => this.#line.call('list', () => this.#inner.list(of, page))
  delete: SessionStore['delete'] = (key) => this.#line.call(sessionKeyText(key), () => this.#inner.delete(key))
  close: NonNullable<SessionStore['close']> = () => this.#line.call('close', () => this.#inner.close?.())
}
