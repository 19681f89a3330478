import assert from 'node:assert/strict'

import type { Entry } from '../journal/journal.js'

/** Reads a cursor as the contract wants it: asks, and when there is nothing waits for its wake. */
export class Reader<C> {
  #cursor: C | undefined
  readonly #waiting: Set<string>
  readonly #name: string
  readonly #pull: (cursor: C) => Entry | 'lost' | undefined
  #isWoken = false
  #onWake: (() => void) | undefined

  /** @param waiting where it says that it waits */
  constructor (waiting: Set<string>, name: string, pull: (cursor: C) => Entry | 'lost' | undefined) {
    this.#waiting = waiting
    this.#name = name
    this.#pull = pull
  }

  readonly wake = (): void => {
    this.#isWoken = true
    this.#onWake?.()
  }

  reading (cursor: C): this {
    this.#cursor = cursor
    return this
  }

  get cursor (): C {
    assert.ok(this.#cursor !== undefined, 'there is no cursor yet')
    return this.#cursor
  }

  /** What the cursor has right now. */
  now (): Entry | 'lost' | undefined {
    return this.#pull(this.cursor)
  }

  async next (): Promise<Entry | 'lost'> {
    for (;;) {
      this.#isWoken = false
      const entry = this.now()
      if (entry !== undefined) return entry
      await this.#woken()
    }
  }

  /** So many entries. */
  async read (count: number): Promise<Entry[]> {
    const entries: Entry[] = []
    while (entries.length < count) entries.push(await this.#entry())
    return entries
  }

  /** All up to and including the first entry that is the last. */
  async until (isLast: (entry: Entry) => boolean): Promise<Entry[]> {
    const entries: Entry[] = []
    do entries.push(await this.#entry()); while (!entries.slice(-1).some(isLast))
    return entries
  }

  /** All up to the end of that turn, or of whichever is the first to end. */
  untilEnd (turnId?: string): Promise<Entry[]> {
    return this.until((entry) => entry.kind === 'end' && (turnId === undefined || entry.turnId === turnId))
  }

  /** All up to the next event of that name: what is published behind all else shows that there was no more. */
  untilEvent (name: string): Promise<Entry[]> {
    return this.until((entry) => entry.kind === 'event' && entry.name === name)
  }

  async #entry (): Promise<Entry> {
    const entry = await this.next()
    assert.ok(entry !== 'lost', `${this.#name} says that it is lost`)
    return entry
  }

  async #woken (): Promise<void> {
    this.#waiting.add(`the wake of ${this.#name}`)
    // Woken since it was asked: the wake may come before the promise that waits for it.
    if (!this.#isWoken) await new Promise<void>((resolve) => { this.#onWake = resolve })
    this.#onWake = undefined
    this.#waiting.delete(`the wake of ${this.#name}`)
  }
}

/** An entry in a word or two, without its number. */
export function short (entry: Entry): string {
  switch (entry.kind) {
    case 'text':
    case 'message': return entry.content
    case 'event': return entry.name
    case 'end': return `end ${entry.end.finishReason}`
  }
}

/** The same with its turn. */
export function told (entry: Entry): string {
  return `${entry.turnId ?? '-'} ${short(entry)}`
}

export function textOf (entries: readonly Entry[]): string {
  return entries.map((entry) => entry.kind === 'text' ? entry.content : '').join('')
}

/** Without a hole or a repetition. */
export function assertContiguous (entries: readonly Entry[], first: number): void {
  assert.deepEqual(entries.map(({ seq }) => seq), entries.map((_, index) => first + index))
}

export function assertRising (entries: readonly Entry[]): void {
  const seqs = entries.map(({ seq }) => seq)
  assert.deepEqual(seqs, [...new Set(seqs)].sort((one, other) => one - other))
}
