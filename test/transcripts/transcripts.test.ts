import t from 'tap'

import { readTranscripts } from '../helpers/transcript-files.js'
import { play } from '../helpers/transcript-player.js'
import { schemaFaults } from '../helpers/transcript-schemas.js'
import { serverStage } from '../helpers/transcript-server.js'

const all = readTranscripts()

t.test('there are transcripts, each of a behaviour of its own', async (t) => {
  t.ok(all.length > 70)
  for (const told of ['title', 'about'] as const) {
    t.equal(new Set(all.map(({ transcript }) => transcript[told])).size, all.length, `no two have the same ${told}`)
  }
})

for (const { name, transcript } of all) {
  t.test(name, async (t) => {
    t.strictSame(schemaFaults(transcript), [], 'its frames are as the schemas say')
    await t.resolves(play(transcript, await serverStage(t, transcript)), transcript.title)
  })
}
