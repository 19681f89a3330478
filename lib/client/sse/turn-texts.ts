import { TURN_STARTED } from '../../protocol/names.js'
import type { ServerFrameOf } from '../../protocol/server-frames.js'

/** The texts so far of a session's open turns, where all of them is known. */
export class TurnTexts {
  readonly #textById = new Map<string, string>()

  /** @param turns those that were open when the session was begun to be told */
  constructor (turns: ServerFrameOf<'subscribed'>['turns']) {
    for (const { id, status, content } of turns) {
      const text = content ?? (status === 'queued' ? '' : undefined)
      if (text !== undefined) this.#textById.set(id, text)
    }
  }

  /** `undefined` for a turn that is not open, or was running before. */
  of (id: string): string | undefined {
    return this.#textById.get(id)
  }

  /** All that the turn has said is known. */
  begin (id: string, text: string): void {
    this.#textById.set(id, text)
  }

  /** @returns the text of the turn, also where this was its end */
  take (frame: ServerFrameOf<'stream' | 'message' | 'event' | 'error'>): string | undefined {
    const { id = '' } = frame
    if (frame.type === 'event' && frame.name === TURN_STARTED) this.#textById.set(id, '')
    const text = this.of(id)
    if (text === undefined) return undefined
    if (frame.type !== 'event' && frame.done === true) this.#textById.delete(id)
    if (frame.type !== 'stream') return text
    const all = text + frame.content
    if (!frame.done) this.#textById.set(id, all)
    return all
  }
}
