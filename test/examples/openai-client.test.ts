import { Parser } from '@asyncapi/parser'
import OpenAI from 'openai'
import t, { type Test } from 'tap'

import { run, start } from './processes.js'
import { listen, server } from './server.js'

/** Error and warning, as the parser has them. */
const WORSE_THAN_INFO = [0, 1]

// Starting processes takes its time on a busy machine.
t.setTimeout(120_000)

await t.test('the official client streams from the example host', async (t) => {
  const client = new OpenAI({ baseURL: await base(t), apiKey: 'none' })
  const pieces: string[] = []
  const stream = await client.chat.completions.create({ model: 'main', messages: [{ role: 'user', content: 'where is order 2?' }], stream: true })
  for await (const { choices } of stream) pieces.push(choices[0]?.delta.content ?? '')
  t.match(pieces.join(''), /green tea/)
  t.ok(pieces.length > 3)
  const models = await client.models.list()
  t.strictSame(models.data.map(({ id }) => id), ['main'])
})

await t.test('it is known there again, in a session or by what it gives along', async (t) => {
  const client = new OpenAI({ baseURL: await base(t), apiKey: 'none' })
  const ask = async (messages: string[], more = {}) => (await client.chat.completions.create({
    model: 'main', messages: messages.map((content, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content })), ...more
  })).choices[0]?.message.content
  await ask(['my name is Ada'], { sessionId: 'tea' })
  t.equal(await ask(['what is my name?'], { sessionId: 'tea' }), 'Your name is Ada.')
  t.equal(await ask(['my name is Bob', 'Nice to meet you', 'what is my name?']), 'Your name is Bob.')
})

await t.test('openai-client.mjs', async (t) => {
  await t.test('prints the answer to its question', async (t) => {
    const env = { CHANNEL_HTTP: await base(t), CHANNEL_SESSION: 'tea' }
    await run(t, process.execPath, ['examples/openai-client.mjs', 'my name is Ada'], { env })
    t.strictSame(await run(t, process.execPath, ['examples/openai-client.mjs', 'what is my name?'], { env }), {
      code: 0, stdout: 'Your name is Ada.\n', stderr: ''
    })
  })

  await t.test('says why it was refused', async (t) => {
    const env = { CHANNEL_HTTP: await base(t, { AUTH_TOKEN: 's3cret' }), CHANNEL_TOKEN: 'wrong' }
    const refused = await run(t, process.execPath, ['examples/openai-client.mjs', 'hi'], { env })
    t.match(refused, { code: 1, stdout: '', stderr: /^401 Send the token as "Authorization: Bearer <token>"\n$/ })
    const known = await run(t, process.execPath, ['examples/openai-client.mjs', 'hi'], { env: { ...env, CHANNEL_TOKEN: 's3cret' } })
    t.equal(known.code, 0)
  })

  await t.test('stops the agent when it is stopped', async (t) => {
    const url = await base(t)
    const env = { CHANNEL_HTTP: url, CHANNEL_SESSION: 'tea' }
    const { child, printed, ended } = start(t, process.execPath, ['examples/openai-client.mjs', 'count to 999'], { env })
    await printed(/1 2 3/)
    child.kill('SIGINT')
    t.match(await ended, { code: 0, stderr: '' })
    let answer: { complete: boolean, content: string } | undefined
    while (answer === undefined) {
      const { messages } = await (await fetch(`${url}/agents/main/sessions/tea/messages`)).json() as { messages: Array<NonNullable<typeof answer>> }
      answer = messages[1]
    }
    t.match(answer, { complete: false, content: /^1 2 3/ })
    t.notMatch(answer.content, /999/)
  })
})

await t.test('the AsyncAPI document of the example host is valid, and asks for its token', async (t) => {
  const answer = await fetch(`${await base(t, { AUTH_TOKEN: 's3cret' })}/ws/asyncapi.json`, { headers: { authorization: 'Bearer s3cret' } })
  const text = await answer.text()
  const faults = await new Parser().validate(text)
  t.strictSame(faults.filter(({ severity }) => WORSE_THAN_INFO.includes(severity)), [])
  t.match(JSON.parse(text), {
    info: { title: 'Tea shop' },
    channels: { agent: { address: '/api/v1/ws' } },
    servers: { main: { host: /^localhost:\d+$/, security: [{ $ref: '#/components/securitySchemes/bearer' }] } },
    components: { messages: { 'client.order': { payload: { properties: { orderId: {} } } } } }
  })
})

/** Where the example host's routes are. */
async function base (t: Test, env = {}): Promise<string> {
  const url = await listen(await server(t, env))
  return url.replace(/^ws(.*)\/ws$/, 'http$1')
}
