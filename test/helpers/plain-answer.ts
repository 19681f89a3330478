import type { ChannelClient, Frame } from './channel-client.js'

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
