import type { SessionKey } from '../protocol/session-key.js'
import type { MessagePage, PageRequest, SessionMessage } from '../sessions/session-store.js'
import type { Engine } from '../turns/engine.js'

/**
 * A page of a session's history of at most so many bytes of JSON, or of one message that is larger by itself: the
 * newest of what was asked for. A cursor belongs to a place that the store has answered, so it is asked again for less.
 */
export async function historyPage (
  engine: Pick<Engine, 'history'>, key: SessionKey, asked: PageRequest, maxBytes: number
): Promise<MessagePage> {
  let page = await shownPage(engine, key, asked)
  for (let fits = countFitting(page.messages, maxBytes); fits < page.messages.length; fits = countFitting(page.messages, maxBytes)) {
    page = await shownPage(engine, key, { ...asked, limit: fits })
  }
  return page
}

/** What an agent has kept with its answers is for itself: it may hold what its tools were told, or what they must not tell. */
async function shownPage (engine: Pick<Engine, 'history'>, key: SessionKey, asked: PageRequest): Promise<MessagePage> {
  const page = await engine.history(key, asked)
  return { ...page, messages: page.messages.map((message) => message.role === 'assistant' ? withoutMetadata(message) : message) }
}

function withoutMetadata ({ metadata, ...message }: SessionMessage): SessionMessage {
  return message
}

/** How many of the newest messages fit; one does always. */
function countFitting (messages: readonly SessionMessage[], maxBytes: number): number {
  let bytes = 0
  let count = 0
  for (const message of messages.toReversed()) {
    bytes += Buffer.byteLength(JSON.stringify(message)) + 1
    if (bytes > maxBytes && count > 0) break
    count++
  }
  return count
}
