import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

import t, { type Test } from 'tap'

import { PYTHON, root, run, start } from './processes.js'
import { listen, server } from './server.js'

const SEED_CLIENTS = join(root, '../shared/seed-clients')

// Starting processes takes its time on a busy machine.
t.setTimeout(120_000)

await t.test('the clients of the guide', async (t) => {
  if (!existsSync(SEED_CLIENTS)) {
    t.comment(`NOT TESTED: the guide's clients are not at ${SEED_CLIENTS}`)
    return
  }
  const url = await listen(await server(t))
  const { port } = new URL(url)

  await t.test('in JavaScript', async (t) => {
    const client = start(t, process.execPath, ['--experimental-websocket', seedClient(t, 'client.js', port)])
    await client.printed(/content: '',\s+done: true/)
    t.match((await client.printed(/WebSocket connected[^]*/))[0], /Received: \{\s+type: 'stream',\s+agentId: 'main',\s+content: '你好!/)
  })

  await t.test('in Python', async (t) => {
    const client = start(t, PYTHON, ['-u', seedClient(t, 'client.py', port)])
    await client.printed(/'content': '', 'done': True/)
    t.match((await client.printed(/Connected[^]*/))[0], /Received: \{'type': 'stream', 'agentId': 'main', 'content': '你好!/)
  })
})

for (const [name, command, file] of [['Node', process.execPath, 'client.mjs'], ['Python', PYTHON, 'client.py']] as const) {
  await t.test(`our client in ${name}`, async (t) => {
    const runClient = (t: Test, url: string, args: string[], env: Record<string, string> = {}, input = '') =>
      run(t, command, [`examples/${file}`, ...args], { env: { ...env, CHANNEL_URL: url }, input })

    await t.test('prints the answer to one question', async (t) => {
      const url = await listen(await server(t))
      t.strictSame(await runClient(t, url, ['你好']), { code: 0, stdout: '你好!有什么可以帮你的吗?\n', stderr: '' })
    })

    await t.test('asks one question after another when it is given none', async (t) => {
      const url = await listen(await server(t))
      const { code, stdout } = await runClient(t, url, [], {}, 'my name is Ada\n\nwhat is my name?\n')
      t.equal(stdout, 'Nice to meet you, Ada! I will remember your name.\nYour name is Ada.\n')
      t.equal(code, 0)
    })

    await t.test('sends its token, and says when it was refused', async (t) => {
      const url = await listen(await server(t, { AUTH_TOKEN: 's3cret' }))
      t.equal((await runClient(t, url, ['hi'], { CHANNEL_TOKEN: 's3cret' })).stdout, 'Hello! What can I do for you?\n')
      const refused = await runClient(t, url, ['hi'])
      t.equal(refused.code, 1)
      t.match(refused.stderr, /^The server refused the connection: 401/)
    })

    await t.test('says when the agent failed', async (t) => {
      const url = await listen(await server(t, { OPENAI_BASE_URL: await brokenModelServer(t), OPENAI_API_KEY: 'sk-secret-1' }))
      const { code, stdout, stderr } = await runClient(t, url, ['hi'])
      t.equal(code, 1)
      t.match(stderr, /^The agent did not answer: AGENT_ERROR: /)
      t.notMatch(stdout + stderr, /sk-secret-1|Traceback/)
    })

    await t.test('says what was wrong with what it has sent', async (t) => {
      const url = await listen(await server(t))
      const { code, stderr } = await runClient(t, url, ['hi'], { CHANNEL_AGENT: 'x'.repeat(129) })
      t.equal(code, 1)
      t.match(stderr, /^The agent did not answer: VALIDATION_FAILED: .+ \(\/agentId: .+\)\n$/)
    })

    await t.test('says when there is no server', async (t) => {
      const { code, stderr } = await runClient(t, 'ws://127.0.0.1:1/api/v1/ws', ['hi'])
      t.equal(code, 1)
      t.match(stderr, /^Cannot connect to ws:\/\/127\.0\.0\.1:1\/api\/v1\/ws: /)
    })
  })
}

/** One of the guide's clients as it is, but for the port. */
function seedClient (t: Test, name: string, port: string): string {
  const file = join(t.testdir(), name)
  writeFileSync(file, readFileSync(join(SEED_CLIENTS, name), 'utf8').replace('localhost:9527', `localhost:${port}`))
  return file
}

async function brokenModelServer (t: Test): Promise<string> {
  const model = createServer((_request, response) => {
    response.writeHead(401, { 'content-type': 'application/json', 'x-should-retry': 'false' })
    response.end('{"error":{"message":"Incorrect API key provided: sk-secret-1"}}')
  }).listen(0, '127.0.0.1')
  await once(model, 'listening')
  t.teardown(() => {
    model.closeAllConnections()
    model.close()
  })
  // Not a pipe's name: listening on a port makes it an AddressInfo.
  return `http://127.0.0.1:${(model.address() as AddressInfo).port}/v1`
}
