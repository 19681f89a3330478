import t from 'tap'

import type { Transcript } from '../helpers/transcript.js'
import { readTranscripts } from '../helpers/transcript-files.js'
import { play } from '../helpers/transcript-player.js'
import { ClientStage } from '../helpers/transcript-against-client.js'

/** Conversations in which a client says what this one never does, or says it in another way. */
const NOT_OF_THIS_CLIENT: Partial<Record<string, string>> = {
  'cancel-nothing': 'names the session of a turn that it does not know',
  'disconnect-cancel': 'subscribes when it comes back to an open turn',
  'disconnect-continue': 'subscribes when it comes back to an open turn',
  'duplicate-queued': 'says nothing twice on one connection',
  'duplicate-running': 'subscribes when it comes back to an open turn',
  'host-frame-approval': 'has a position of its own, and asks from no other',
  'id-conflict': 'finds by itself that an id is in use',
  'in-order': 'follows a session for as long as it has chats there that it has not begun on that connection',
  'other-owner': 'does not leave what it does not follow',
  'subscribe-limit': 'asks for nothing that it is told already',
  'subscribe-position-ahead': 'has a position of its own, and asks from no other',
  'subscribe-trimmed': 'has a position of its own, and asks from no other',
  'subscribe-twice': 'asks for nothing that it is told already',
  unsubscribe: 'does not leave what it does not follow'
}

const spoken = readTranscripts().filter(({ transcript }) => isSpoken(transcript))

for (const { name, transcript } of spoken) {
  const why = NOT_OF_THIS_CLIENT[name]
  if (why !== undefined) t.test(`${name}: ${why}`, async (t) => { await t.rejects(play(transcript, new ClientStage())) })
  else t.test(name, async (t) => { await t.resolves(play(transcript, new ClientStage()), transcript.title) })
}

t.test('most of what can be said with an id is', async (t) => {
  t.ok(spoken.length - Object.keys(NOT_OF_THIS_CLIENT).length > 38)
})

/** Whether all that its clients say are frames that this client makes: it has no plain chats, and pings when it likes. */
function isSpoken ({ lines }: Transcript): boolean {
  return lines.every((line) => {
    if (line.from !== 'client') return true
    if (!('frame' in line) || line.bad === true) return false
    return line.frame.type !== 'ping' && (line.frame.type !== 'chat' || line.frame.id !== undefined)
  })
}
