import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import t, { type Test } from 'tap'
import ts from 'typescript'

import { root, run } from './examples/processes.js'

// The compiler and npm take their time on a busy machine.
t.setTimeout(600_000)

const PACKAGE = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  name: string
  exports: Record<string, unknown>
  dependencies: Record<string, string>
  peerDependencies: Record<string, string>
  peerDependenciesMeta: Record<string, { optional: boolean }>
}
const OPTIONAL = Object.keys(PACKAGE.peerDependenciesMeta)
const ENTRIES = Object.keys(PACKAGE.exports).filter((entry) => entry !== './package.json').map((entry) => join(PACKAGE.name, entry))

/** An alias among the packages of this project. */
const LOWEST_FASTIFY = 'fastify-lowest'

const HOST = `
  import Fastify from 'fastify'
  import wsChannel, { channelRest } from 'fastify-ws-channel'

  const app = Fastify()
  await app.register(wsChannel, { agentExecutor: async function * ({ message }) { yield 'You said: '; yield message } })
  app.register(channelRest, { prefix: '/api/v1', openAi: true })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const base = 'http://127.0.0.1:' + app.server.address().port
  const get = async (url) => (await fetch(base + url)).status
  const statuses = [await get('/api/v1/ws/asyncapi.json'), await get('/api/v1/agents')]
  const socket = await app.channel.injectWS()
  const text = await new Promise((resolve) => {
    let content = ''
    socket.on('message', (data) => {
      const frame = JSON.parse(data)
      content += frame.content
      if (frame.done) resolve(content)
    })
    socket.send(JSON.stringify({ type: 'chat', message: 'hello' }))
  })
  socket.close()
  await app.close()
  console.log(JSON.stringify({ version: app.version, statuses, text }))`

/** What a host has that uses one of the SDKs. */
const SDK_ONLY = /\/adapters\/|\/ai-sdk$/

/** What a page has, and its server, of an SDK. */
const CHAT = `
  import { streamText, type ChatTransport, type LanguageModel, type UIMessage } from 'ai'
  import { fromAiSdk } from 'fastify-ws-channel/adapters/ai-sdk'
  import { channelChatTransport, toUIMessages, type ChannelMessageMetadata } from 'fastify-ws-channel/ai-sdk'
  import { createChannelClient } from 'fastify-ws-channel/client'

  type Message = UIMessage<ChannelMessageMetadata, { progress: number }, { buy: { input: { what: string }, output: string } }>
  const client = createChannelClient<{ approve: { frame: { ok: boolean }, reply: boolean } }>({ url: '/ws' })
  export const mine: ChatTransport<Message> = channelChatTransport<Message>({ url: '/ws', prepareChat: ({ messages }) => ({
    message: String(messages.length), metadata: { turnId: messages[0]?.metadata?.turnId }
  }) })
  export const plain: ChatTransport<UIMessage> = channelChatTransport({ client })
  export const messages: UIMessage[] = toUIMessages([])
  export const agent = (model: LanguageModel) => fromAiSdk((call) => streamText({ model, ...call }))`

const tarball = await pack(t)

await t.test('the package, packed and installed beside what it needs and nothing else', async (t) => {
  const folder = ownFolder(t)
  await install(t, folder)

  await t.test('can be imported by every entry point, with none of the SDKs there', async (t) => {
    t.ok(ENTRIES.length > 5)
    const script = `
      const found = await Promise.all(${JSON.stringify(ENTRIES)}.map(async (name) => [name, Object.keys(await import(name)).length > 0]))
      const missing = await Promise.all(${JSON.stringify(OPTIONAL)}.map((name) => import(name).then(() => name, ({ code }) => code)))
      console.log(JSON.stringify({ found, missing }))`
    writeFileSync(join(folder, 'import.mjs'), script)
    const { code, stdout, stderr } = await run(t, process.execPath, [join(folder, 'import.mjs')])
    t.equal(code, 0, stderr)
    t.strictSame(JSON.parse(stdout), {
      found: ENTRIES.map((name) => [name, true]),
      missing: OPTIONAL.map(() => 'ERR_MODULE_NOT_FOUND')
    })
  })

  await t.test('has types that need none of them, but for the adapters', async (t) => {
    t.strictSame(faultsOf(folder, ENTRIES.filter((name) => !SDK_ONLY.test(name))), [])
    for (const name of ['adapters/ai-sdk', 'ai-sdk']) {
      t.match(faultsOf(folder, [join(PACKAGE.name, name)]).join('\n'), /Cannot find module 'ai'/, 'which is seen')
    }
  })

  for (const [major, name] of Object.entries({ 5: 'ai-5', 6: 'ai', 7: 'ai-7' })) {
    await t.test(`fits the types of version ${major} of the AI SDK`, async (t) => {
      const link = join(folder, 'node_modules/ai')
      symlinkSync(join(root, 'node_modules', name), link)
      t.teardown(() => { unlinkSync(link) })
      // One program, since each takes its time: the only fault is the one that it has on purpose.
      const faults = faultsIn(folder, `${CHAT}\nexport const wrong: ChatTransport<UIMessage> = channelChatTransport({ url: 7 })`)
      t.equal(faults.length, 1, faults.join('\n'))
      t.match(faults[0], /not assignable/)
    })
  }
})

await t.test('the package runs on the lowest Fastify that it says it needs', async (t) => {
  const folder = ownFolder(t)
  await install(t, folder, LOWEST_FASTIFY)
  writeFileSync(join(folder, 'host.mjs'), HOST)
  const { code, stdout, stderr } = await run(t, process.execPath, [join(folder, 'host.mjs')])
  t.equal(code, 0, stderr)
  t.strictSame(JSON.parse(stdout), {
    version: PACKAGE.peerDependencies['fastify']?.replace('^', ''), statuses: [200, 200], text: 'You said: hello'
  })
})

/** Packs it, as it is published; answers where the tarball is. */
async function pack (t: Test): Promise<string> {
  const folder = ownFolder(t)
  const source = join(folder, 'source')
  mkdirSync(source)
  for (const name of ['package.json', 'README.md', 'LICENSE', 'lib']) cpSync(join(root, name), join(source, name), { recursive: true })
  await succeed(t, process.execPath, [join(root, '.ci/build.mjs'), join(source, 'dist')])
  await succeed(t, 'npm', ['pack', source, '--ignore-scripts', '--silent', '--pack-destination', folder])
  return join(folder, `${PACKAGE.name}-0.0.0.tgz`)
}

/** Not in this project, whose own packages would be found from there. */
function ownFolder (t: Test): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'fastify-ws-channel-')))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

/** Like `npm install` of the tarball, without a registry: its dependencies are those of this project. */
async function install (t: Test, folder: string, fastify = 'fastify'): Promise<void> {
  const home = join(folder, 'node_modules', PACKAGE.name)
  mkdirSync(home, { recursive: true })
  await succeed(t, 'tar', ['-xzf', tarball, '-C', home, '--strip-components=1'])
  for (const name of [...Object.keys(PACKAGE.dependencies), 'fastify', '@types/node']) {
    const link = join(folder, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(root, 'node_modules', name === 'fastify' ? fastify : name), link)
  }
}

async function succeed (t: Test, command: string, args: string[]): Promise<void> {
  const { code, stdout, stderr } = await run(t, command, args)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${stdout}${stderr}`)
}

/** What the compiler says of the package's own declarations, to a host that has it check those. */
function faultsOf (folder: string, entries: string[]): string[] {
  return faultsIn(folder, entries.map((name, index) => `export * as e${index} from '${name}'`).join('\n'))
}

/** And of what that host has written. */
function faultsIn (folder: string, source: string): string[] {
  const file = join(folder, 'host.ts')
  writeFileSync(file, source)
  const program = ts.createProgram([file], {
    module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'], strict: true, noEmit: true, skipLibCheck: false, types: ['node'],
    typeRoots: [join(folder, 'node_modules/@types')]
  })
  return ts.getPreEmitDiagnostics(program)
    .filter((fault) => fault.file === undefined || fault.file.fileName.startsWith(folder))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}
