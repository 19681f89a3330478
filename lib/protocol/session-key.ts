/** Names one session. Nothing crosses owners: the same `sessionId` under another owner is another session. */
export interface SessionKey {
  readonly owner: string
  readonly agentId: string
  readonly sessionId: string
}

/**
 * A key that knows its text: what is done for a chat asks for it many times, and one that is made anew has to be read from
 * end to end wherever it is looked up.
 */
class KnownKey implements SessionKey {
  readonly owner: string
  readonly agentId: string
  readonly sessionId: string
  #text: string | undefined

  constructor (owner: string, agentId: string, sessionId: string) {
    this.owner = owner
    this.agentId = agentId
    this.sessionId = sessionId
  }

  static textOf (key: SessionKey): string {
    return #text in key ? key.#text ??= joined(key) : joined(key)
  }
}

/** The key of one session. Any object of its shape is one as well, and slower. */
export function sessionKey (owner: string, agentId: string, sessionId: string): SessionKey {
  return new KnownKey(owner, agentId, sessionId)
}

/** One string for one session. A JSON array and not a joined string, since `a:b` + `c` and `a` + `b:c` would meet. */
export function sessionKeyText (key: SessionKey): string {
  return KnownKey.textOf(key)
}

/** The session of which {@link sessionKeyText} has made this text. */
export function parseSessionKeyText (text: string): SessionKey {
  const [owner, agentId, sessionId] = JSON.parse(text) as [string, string, string]
  return sessionKey(owner, agentId, sessionId)
}

function joined ({ owner, agentId, sessionId }: SessionKey): string {
  return JSON.stringify([owner, agentId, sessionId])
}
