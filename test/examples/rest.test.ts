import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import t from 'tap'

import { ask, EventReader, type SseEvent } from '../helpers/http-client.js'
import { root, run, startExample } from './processes.js'

// Starting a process through a compiler takes its time on a busy machine.
t.setTimeout(120_000)

const textOf = (events: SseEvent[]): string =>
  events.map(({ frame: { content } }) => typeof content === 'string' ? content : '').join('')

t.test('rest.ts counts over HTTP, and goes on where it was cut', async (t) => {
  const { port } = await startExample(t, 'rest.ts')
  const origin = `http://127.0.0.1:${port}`
  t.match((await ask(`${origin}/api/v1/agents`)).body, {
    agents: [{ agentId: 'main', description: 'Counts to the number in your message' }]
  })
  t.match((await ask(`${origin}/api/v1/agents/main/chat`, { body: { message: 'count to 2' } })).body, { content: '1 2 ' })
  t.match((await ask(`${origin}/docs/json`)).body, { paths: { '/api/v1/health': {}, '/api/v1/ws': {}, '/api/v1/agents': {} } })

  const chat = { sessionId: 'tea', message: 'count to 9' }
  const first = await EventReader.open(t, `${origin}/api/v1/agents/main/chat`, { body: chat, headers: { 'idempotency-key': 'q1' } })
  const seen: SseEvent[] = []
  while (textOf(seen) !== '1 2 3 ') seen.push(await first.next() ?? { frame: { type: 'none' } })
  await first.destroy()
  const second = await EventReader.open(t, `${origin}/api/v1/agents/main/sessions/tea/events`, {
    headers: { 'last-event-id': seen.at(-1)?.id ?? '' }
  })
  for (let event = await second.next(); event !== undefined; event = await second.next()) {
    seen.push(event)
    if (event.frame['done'] === true) break
  }
  t.equal(textOf(seen), '1 2 3 4 5 6 7 8 9 ')
  await second.destroy()
})

t.test('the commands that it and the README show are the ones that work', async (t) => {
  const { port } = await startExample(t, 'rest.ts')
  const comment = readFileSync(join(root, 'examples/rest.ts'), 'utf8').split('\n').filter((line) => line.startsWith('// ')).map((line) => line.slice(2))
  const readme = readFileSync(join(root, 'README.md'), 'utf8').split('\n')
  for (const lines of [comment, readme]) {
    const start = lines.findIndex((line) => line.includes('curl -N') && line.endsWith('\\'))
    const command = `${lines[start] ?? ''}\n${lines[start + 1] ?? ''}`.replace('localhost:9527', `127.0.0.1:${port}`).replace('count to 20', 'count to 2')
    const { code, stdout, stderr } = await run(t, 'sh', ['-c', command])
    t.equal(code, 0, stderr)
    t.match(stdout, /^id: .+\ndata: \{"type":"ack","id":"q1"/)
  }
})
