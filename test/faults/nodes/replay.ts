import { WebSocket } from 'ws'

import { connect, type Frame } from '../../helpers/channel-client.js'

export interface Replayed {
  epoch: string
  entries: Frame[]
}

/**
 * All that the journal holds of a session in which nothing runs, from its first entry on.
 * @throws when the first entry is not held any more
 */
export async function replay (url: string, sessionId: string): Promise<Replayed> {
  const first = await subscribe(url, { sessionId })
  const { epoch, seq: top } = first.subscribed as unknown as { epoch: string, seq: number }
  await first.client.terminate()
  if (top === 0) return { epoch, entries: [] }
  const { client, subscribed } = await subscribe(url, { sessionId, epoch, after: 0 })
  if (!subscribed.recovered) throw new Error(`there are ${top} entries, and the first is not held`)
  const entries: Frame[] = []
  while (Number(entries.at(-1)?.['seq'] ?? 0) < top) entries.push(await client.next())
  if (client.ws.readyState === WebSocket.OPEN) await client.terminate()
  return { epoch, entries }
}

/** What the history has of the answer of each turn. */
export async function answers (url: string, sessionId: string): Promise<Map<string, string>> {
  const client = await connect(url)
  try {
    client.send({ type: 'history', sessionId, limit: 200 })
    const { messages } = await client.next('history')
    return new Map(messages.filter(({ role }) => role === 'assistant').map(({ turnId, content }) => [turnId, content]))
  } finally {
    await client.terminate()
  }
}

async function subscribe (url: string, frame: object) {
  const client = await connect(url)
  client.send({ type: 'subscribe', ...frame })
  return { client, subscribed: await client.next('subscribed') }
}
