import type { Executor } from '../../lib/index.js'
import type { ChannelClient, Frame } from './channel-client.js'

/** An agent that always gives the same answer. */
export const say = (answer: string): Executor => () => answer

/** The content of an answer that is one message. */
export async function ask (client: ChannelClient, message = 'x'): Promise<unknown> {
  client.send({ type: 'chat', message })
  return (await client.next('message')).content
}

/** The frames of one plain answer, up to the one that is done. */
export async function answer (client: ChannelClient): Promise<Frame[]> {
  const frames = [await client.next()]
  while (frames.at(-1)?.['done'] !== true) frames.push(await client.next())
  return frames
}

/** What all of them say together. */
export function text (frames: Frame[]): string {
  return frames.map(({ content }) => content).join('')
}
