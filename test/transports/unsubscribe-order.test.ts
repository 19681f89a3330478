import t from 'tap'

import { serve } from '../helpers/app.js'
import { SlowJournal } from '../helpers/slow-journal.js'

// It took its place only when the session was followed no more: the refusal behind it overtook it.
t.test('a plain chat behind unsubscribe is answered before a bad one that was sent after it', async (t) => {
  const { connect } = await serve(t, { journal: new SlowJournal(), agentExecutor: ({ message }) => message })
  const client = await connect()
  client.send({ type: 'subscribe', sessionId: 's' })
  await client.next('subscribed')
  // Something that takes a moment, so that what comes next finds the session still followed.
  client.send({ type: 'subscribe', id: 'again', sessionId: 's' })
  client.send({ type: 'unsubscribe', sessionId: 's' })
  client.send({ type: 'chat', sessionId: 's', message: 'first' })
  client.send({ type: 'chat', sessionId: 's', message: '' })
  t.match(await client.next(), { type: 'subscribed', id: 'again' })
  t.match(await client.next(), { type: 'unsubscribed' })
  t.strictSame(await client.next(), { type: 'message', agentId: 'main', content: 'first', done: true })
  t.match(await client.next(), { type: 'error', agentId: 'main', code: 'VALIDATION_FAILED', done: true })
  await client.close()
})
