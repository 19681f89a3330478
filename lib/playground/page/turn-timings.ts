import { phrase } from './words.js'
import type { WireNews } from './wire.js'

/** When what came of a turn, over the wire of one device. */
interface TurnTiming {
  /** When its chat was sent from here, else when it began to be told. */
  askedAt: number
  firstAt: number | undefined
  lastAt: number
  pieces: number
}

/** More turns than anybody looks at. */
const MAX_TURNS = 500

/** Measures turns by their frames: what the page needs to show them is not in it. */
export class TurnTimings {
  readonly #timingById = new Map<string, TurnTiming>()

  take (news: WireNews): void {
    if (news.kind !== 'sent' && news.kind !== 'received') return
    const { at, kind, frame: { type, id, done } } = news
    if (typeof id !== 'string') return
    const timing = this.#timingById.get(id) ?? (isStart(type) ? this.#begin(id, at) : undefined)
    if (timing === undefined || kind === 'sent' || !isAnswer(type)) return
    timing.lastAt = at
    if (type === 'error' || (type === 'stream' && done === true)) return
    timing.firstAt ??= at
    timing.pieces++
  }

  /** For people: time to the first piece, pieces, pieces a second, and the whole. Nothing of a turn that was not seen. */
  tell (id: string): string[] {
    const timing = this.#timingById.get(id)
    if (timing?.firstAt === undefined) return []
    const { askedAt, firstAt, lastAt, pieces } = timing
    const perSecond = (pieces - 1) / (lastAt - firstAt) * 1000
    return [
      phrase('firstPiece', { ms: Math.round(firstAt - askedAt) }),
      pieces === 1 ? phrase('onePiece') : phrase('pieces', { count: pieces }),
      ...(pieces > 2 && Number.isFinite(perSecond) ? [phrase('speed', { speed: perSecond.toFixed(1) })] : []),
      phrase('total', { ms: Math.round(lastAt - askedAt) })
    ]
  }

  #begin (id: string, at: number): TurnTiming {
    const timing = { askedAt: at, firstAt: undefined, lastAt: at, pieces: 0 }
    this.#timingById.set(id, timing)
    const [oldest] = this.#timingById.keys()
    if (this.#timingById.size > MAX_TURNS && oldest !== undefined) this.#timingById.delete(oldest)
    return timing
  }
}

function isStart (type: unknown): boolean {
  return type === 'chat' || type === 'event' || type === 'stream'
}

function isAnswer (type: unknown): boolean {
  return type === 'stream' || type === 'message' || type === 'error'
}
