import type { ClientTurn, SessionChoice, SessionNews } from '../client/index.js'
import type { ChatClient } from './options.js'
import type { TurnPlace } from './turn-places.js'

/** A turn of a session that is open, and is told until it is let go. */
export interface FoundTurn {
  turn: ClientTurn
  /** All that happened in it is known, from its start. */
  isWhole: boolean
  letGo: () => void
}

/**
 * Finds the turn to go on with: the one whose place is known, also if it has ended since, else the one that runs.
 * @param place where the turn began that was read before
 * @param isOwn whether the client has begun that turn itself
 * @throws ChannelClientError when the session cannot be followed
 */
export async function findOpenTurn (
  client: ChatClient, session: SessionChoice, { place, isOwn, signal }: SearchTerms
): Promise<FoundTurn | undefined> {
  const subscription = client.subscribe({ ...session, from: place, signal })
  // Before it is ready: what follows may follow at once.
  const news = subscription[Symbol.asyncIterator]()
  const letGo = (): void => { subscription.close() }
  try {
    await subscription.ready
    const { turns, isGapless } = subscription
    const known = turns.find(({ id }) => id === place?.turnId)
    const turn = known ?? (place !== undefined && isGapless ? await told(news, place.turnId) : turns[0])
    if (turn !== undefined) return { turn, isWhole: isGapless || isOwn(turn), letGo }
  } catch (err) {
    letGo()
    throw err
  }
  letGo()
  return undefined
}

export interface SearchTerms {
  place: TurnPlace | undefined
  isOwn: (turn: ClientTurn) => boolean
  signal: AbortSignal
}

/** The turn, when its beginning is told; `undefined` when that will not be. */
async function told (news: AsyncIterator<SessionNews, unknown>, turnId: string): Promise<ClientTurn | undefined> {
  for (;;) {
    const { done, value } = await news.next() as IteratorResult<SessionNews, undefined>
    if (done === true || value.type === 'gap') return undefined
    if (value.type === 'turn' && value.turn.id === turnId) return value.turn
  }
}
