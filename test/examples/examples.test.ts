import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import t, { type Test } from 'tap'

import { attend, connect } from '../helpers/channel-client.js'
import { ask, askForText, type ChatTo } from './conversation.js'
import { root, startExample } from './processes.js'

// Starting a process through a compiler takes its time on a busy machine.
t.setTimeout(120_000)

await t.test('every example fits on a page and begins with the command that runs it', async (t) => {
  const files = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' }).filter((file) => /\.\w+$/.test(file))
  t.ok(files.includes('react-chat/page.tsx'))
  for (const file of files.filter((file) => !file.endsWith('.json'))) {
    const lines = readFileSync(join(root, 'examples', file), 'utf8').trimEnd().split('\n')
    t.ok(lines.length <= 80, `${file} has ${lines.length} lines`)
    const command = `^(?:// (?:npx tsx|node)|# /usr/bin/python3) examples/${file}( |$)`
    t.match(lines[0], new RegExp(`${command}|^// npm start$|^(?://|<!--) A part of examples/[a-z-]+(/server)?.ts: `), file)
  }
})

await t.test('minimal.ts says what it hears', async (t) => {
  const { url } = await startExample(t, 'minimal.ts')
  t.equal(await answerTo(t, url, 'Hello, 世界!'), 'Hello, 世界!')
})

await t.test('auth-jwt.ts lets its token in, to REST and socket, and nothing else', async (t) => {
  const { port, url, printed } = await startExample(t, 'auth-jwt.ts')
  const [, token = ''] = await printed(/CHANNEL_TOKEN=(\S+)/)
  const me = `http://localhost:${port}/api/v1/me`

  t.equal((await fetch(me)).status, 401)
  const known = await fetch(me, { headers: bearer(token) })
  t.strictSame(await known.json(), { id: 'user-1', name: 'Ada' })

  await t.rejects(connect(url), { name: 'UpgradeRefused', statusCode: 401 })
  await t.rejects(connect(url, { headers: bearer(`${token}x`) }), { name: 'UpgradeRefused', statusCode: 401 })
  t.equal(await answerTo(t, url, 'hi', {}, bearer(token)), 'Hello Ada, your sessions are kept for user-1.')
})

await t.test('executor.ts tells a chapter for each message, and refuses long ones in its own words', async (t) => {
  const { url } = await startExample(t, 'executor.ts')
  const client = attend(t, await connect(url))
  t.equal(await askForText(client, 'a cat'), 'Chapter 1. Once there was a cat, and everybody was happy.')
  t.equal(await askForText(client, 'a dog'), 'Chapter 2. Once there was a dog, and everybody was happy.')
  t.strictSame(await ask(client, 'long '.repeat(100)), [{
    type: 'error', agentId: 'main', code: 'AGENT_ERROR', message: 'One word is enough: what should the story be about?', retryable: true, done: true
  }])
  await client.close()
})

await t.test('session-store.ts knows a session after a restart', async (t) => {
  const file = join(t.testdir(), 'sessions.jsonl')
  const first = await startExample(t, 'session-store.ts', [file])
  t.equal(await answerTo(t, first.url, 'hi', { sessionId: 'tea' }), 'In tea, 0 messages came before this one.')
  t.equal(await answerTo(t, first.url, 'hi', { sessionId: 'tea' }), 'In tea, 2 messages came before this one.')
  first.child.kill('SIGKILL')
  await first.ended

  const second = await startExample(t, 'session-store.ts', [file])
  t.equal(await answerTo(t, second.url, 'hi', { sessionId: 'tea' }), 'In tea, 4 messages came before this one.')
  t.equal(await answerTo(t, second.url, 'hi', { sessionId: 'coffee' }), 'In coffee, 0 messages came before this one.')
  t.equal(await answerTo(t, `${second.url}?sessionId=coffee`, 'hi'), 'In coffee, 2 messages came before this one.')
})

await t.test('several-agents.ts answers by agent id and by channel', async (t) => {
  const { url, port } = await startExample(t, 'several-agents.ts')
  t.equal(await answerTo(t, url, 'tea'), 'You said: tea')
  t.equal(await answerTo(t, url, 'tea', { agentId: 'spell' }), 't e a ')
  t.equal(await answerTo(t, `ws://localhost:${port}/admin/ws`, 'tea'), 'This is main of the back office.')

  const client = attend(t, await connect(url))
  t.strictSame(await ask(client, 'tea', { agentId: 'nobody' }), [
    { type: 'error', agentId: 'nobody', code: 'AGENT_NOT_FOUND', message: 'No such agent', retryable: false, done: true }
  ])
  await client.close()
})

await t.test('drain.ts finishes its answer, with REST still served', async (t) => {
  const { child, ended, port, printed, url } = await startExample(t, 'drain.ts')
  const client = attend(t, await connect(url))
  client.send({ type: 'chat', message: 'count' })
  t.strictSame(await client.next(), { type: 'stream', agentId: 'main', content: '1 ', done: false })

  child.kill('SIGTERM')
  await printed(/draining/)
  t.equal((await fetch(`http://localhost:${port}/health`)).status, 200)
  await t.rejects(connect(url), { name: 'UpgradeRefused', statusCode: 503 })

  const rest = []
  for (let frame = await client.next(); frame.done !== true; frame = await client.next()) rest.push(frame.content)
  t.match(rest.join(''), /^2 3 .* 19 20 $/)
  t.match(await client.closed, { code: 1012 })
  t.equal((await ended).code, 0)
})

/** One question over a socket of its own. */
async function answerTo (
  t: Test, url: string, message: string, chat: ChatTo = {}, headers: Record<string, string> = {}
): Promise<string> {
  const client = attend(t, await connect(url, { headers }))
  const answer = await askForText(client, message, chat)
  await client.close()
  return answer
}

function bearer (token: string) {
  return { authorization: `Bearer ${token}` }
}
