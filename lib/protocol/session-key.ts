/** Names one session. Nothing crosses owners: the same `sessionId` under another owner is another session. */
export interface SessionKey {
  readonly owner: string
  readonly agentId: string
  readonly sessionId: string
}

/** What is done for a chat asks for one key many times, */
let last: { key: SessionKey, text: string } | undefined
/** and so do those of one connection: a text that is made anew has to be read from end to end wherever it is looked up. */
const textOf = new WeakMap<SessionKey, string>()

/** One string for one session. A JSON array and not a joined string, since `a:b` + `c` and `a` + `b:c` would meet. */
export function sessionKeyText (key: SessionKey): string {
  if (last?.key === key) return last.text
  let text = textOf.get(key)
  if (text === undefined) textOf.set(key, text = JSON.stringify([key.owner, key.agentId, key.sessionId]))
  last = { key, text }
  return text
}

/** The session of which {@link sessionKeyText} has made this text. */
export function parseSessionKeyText (text: string): SessionKey {
  const [owner, agentId, sessionId] = JSON.parse(text) as [string, string, string]
  return { owner, agentId, sessionId }
}
