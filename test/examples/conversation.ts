import type { ChannelClient, Frame } from '../helpers/channel-client.js'

export interface ChatTo {
  agentId?: string
  sessionId?: string
}

/** The frames of one answer, up to its end. */
export async function ask (client: ChannelClient, message: string, chat: ChatTo = {}): Promise<Frame[]> {
  client.send({ type: 'chat', agentId: 'main', ...chat, message })
  const answer = [await client.next()]
  while (answer.at(-1)?.done !== true) answer.push(await client.next())
  return answer
}

/** What a person reads of that answer. */
export async function askForText (client: ChannelClient, message: string, chat?: ChatTo): Promise<string> {
  return (await ask(client, message, chat)).map(({ content }) => content).join('')
}
