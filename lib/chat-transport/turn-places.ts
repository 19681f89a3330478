import type { SessionPosition } from '../client/index.js'
import type { PageStorage } from './options.js'

/** A turn, and where it began. */
export interface TurnPlace extends SessionPosition {
  turnId: string
}

const PREFIX = 'fastify-ws-channel:'

/** Keeps where a chat's running turn began, for a page that is loaded again. */
export class TurnPlaces {
  readonly #storage: PageStorage | null

  constructor (storage: PageStorage | null = ownStorage()) {
    this.#storage = storage
  }

  get (session: string): TurnPlace | undefined {
    try {
      return readPlace(JSON.parse(this.#storage?.getItem(PREFIX + session) ?? 'null'))
    } catch {
      return undefined
    }
  }

  set (session: string, { turnId, epoch, seq }: TurnPlace): void {
    try {
      this.#storage?.setItem(PREFIX + session, JSON.stringify({ turnId, epoch, seq }))
    } catch {
      // Storage that is full, or forbidden: after a reload the turn is told by its text.
    }
  }

  /** Forgets the place of that turn, if it is the one kept. */
  delete (session: string, turnId: string): void {
    if (this.get(session)?.turnId === turnId) this.#storage?.removeItem(PREFIX + session)
  }
}

/** A browser whose user forbids it throws where it is asked for. */
function ownStorage (): PageStorage | null {
  try {
    return (globalThis as { sessionStorage?: PageStorage }).sessionStorage ?? null
  } catch {
    return null
  }
}

/** Whatever a page has written there. */
function readPlace (value: unknown): TurnPlace | undefined {
  const { turnId, epoch, seq } = Object(value) as Partial<Record<keyof TurnPlace, unknown>>
  return typeof turnId === 'string' && typeof epoch === 'string' && typeof seq === 'number' ? { turnId, epoch, seq } : undefined
}
