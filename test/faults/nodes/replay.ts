import { WebSocket } from 'ws'

import { connect, type Frame } from '../../helpers/channel-client.js'

/**
 * All that the journal holds of a session in which nothing runs, from its first entry on.
 * @throws when the first entry is not held any more
 */
export async function replay (url: string, sessionId: string): Promise<Frame[]> {
  const first = await subscribe(url, { sessionId })
  const { epoch, seq: top } = first.subscribed as unknown as { epoch: string, seq: number }
  await first.client.terminate()
  if (top === 0) return []
  const { client, subscribed } = await subscribe(url, { sessionId, epoch, after: 0 })
  if (!subscribed.recovered) throw new Error(`there are ${top} entries, and the first is not held`)
  const frames: Frame[] = []
  while (Number(frames.at(-1)?.['seq'] ?? 0) < top) frames.push(await client.next())
  if (client.ws.readyState === WebSocket.OPEN) await client.terminate()
  return frames
}

async function subscribe (url: string, frame: object) {
  const client = await connect(url)
  client.send({ type: 'subscribe', ...frame })
  return { client, subscribed: await client.next('subscribed') }
}
