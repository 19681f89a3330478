import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

import t, { type Test } from 'tap'

import { serverFrameSchemas } from '../../lib/protocol/server-frames.js'
import { root, run, start } from '../examples/processes.js'
import { serve } from '../helpers/app.js'
import type { Frame } from '../helpers/channel-client.js'
import { readPage, type Block } from './markdown.js'
import { hostOf, PROGRAMS, SAY_WHERE } from './programs.js'
import { typeFaults } from './type-check.js'

const README = readFileSync(join(root, 'README.md'), 'utf8')
const page = readPage(README)
const MAX_LINES = 500

// Starting processes through a compiler takes its time on a busy machine.
t.setTimeout(300_000)

t.test('the README is no longer than a newcomer reads', async (t) => {
  t.ok(page.lines <= MAX_LINES, `${page.lines} lines`)
})

t.test('its links lead somewhere', async (t) => {
  for (const file of ['README.md', 'lib/README.md', 'lib/limits.md', 'lib/protocol/README.md']) {
    for (const link of readPage(readFileSync(join(root, file), 'utf8')).links) {
      t.ok(existsSync(join(root, dirname(file), link.replace(/#.*$/, ''))), `${file}: ${link}`)
    }
  }
})

t.test('its tables are what the code says', async (t) => {
  const { code, stderr } = await runDocs(t, ['--check'])
  t.equal(code, 0, stderr)
})

t.test('a table that says something else than the code is found', async (t) => {
  const file = join(t.testdir(), 'README.md')
  writeFileSync(file, README.replace('`\'/ws\'`', '`\'/wss\'`').replace('| Answered by pong, ', '| Answered by a pong, '))
  const { code, stderr } = await runDocs(t, ['--check', file])
  t.equal(code, 1)
  t.match(stderr, /: options, client-frames: not what the code says/)
})

t.test('a limit that says something else than the code is found', async (t) => {
  const file = join(t.testdir(), 'limits.md')
  writeFileSync(file, readFileSync(join(root, 'lib/limits.md'), 'utf8').replace('1048576 (1 MiB)', '1048577'))
  const { code, stderr } = await runDocs(t, ['--check', file])
  t.equal(code, 1)
  t.match(stderr, /: limits: not what the code says/)
})

t.test('its blocks are of languages that are tried here', async (t) => {
  for (const { language, line } of page.blocks) t.ok(['sh', 'ts', 'js', 'json', 'text'].includes(language), `README.md:${line}: ${language}`)
})

t.test('its commands are there', async (t) => {
  t.ok(page.commands.length > 5)
  for (const command of page.commands) t.ok(isThere(command), command)
  for (const command of ['npm run nothing', 'npx tap test/nothing', 'node examples/nothing.mjs', 'apt-get install -y nothing', 'curl x']) {
    t.notOk(isThere(command), `${command} is not`)
  }
})

t.test('its frames are what goes over the wire', async (t) => {
  const { connect } = await serve(t, { agentExecutor: { main: () => ['Hello', ', world!'] } })
  const blocks = page.blocks.filter(({ language }) => language === 'json')
  t.ok(blocks.length > 1)
  // What ends with … stands for what the server makes: the same for the same, in all blocks.
  const meant = new Map<unknown, unknown>()
  for (const { code } of blocks) {
    const client = await connect()
    for (const line of code.trimEnd().split('\n')) {
      const frame = JSON.parse(line) as Frame
      if (isOfClient(frame)) {
        client.send(filled(frame, meant))
        continue
      }
      const got = await client.next()
      for (const [field, value] of Object.entries(frame)) if (isElided(value) && !meant.has(value)) meant.set(value, got[field])
      t.strictSame(got, filled(frame, meant))
    }
    await client.fence()
    await client.close()
  }
})

/** Types that go both ways there are none of in the page. */
function isOfClient ({ type }: Frame): boolean {
  return !Object.hasOwn(serverFrameSchemas, type)
}

function filled (frame: Frame, meant: ReadonlyMap<unknown, unknown>): Frame {
  const fields = Object.entries(frame).map(([field, value]) => [field, isElided(value) ? meant.get(value) : value])
  return Object.fromEntries(fields) as Frame
}

function isElided (value: unknown): boolean {
  return typeof value === 'string' && value.endsWith('…')
}

t.test('its JavaScript runs', async (t) => {
  const { url } = await serve(t)
  const blocks = page.blocks.filter(({ language }) => language === 'js')
  t.ok(blocks.length > 0)
  for (const { code } of blocks) {
    const file = join(t.testdir(), 'block.mjs')
    writeFileSync(file, code.replace('ws://localhost:9527/api/v1/ws', url))
    const { printed } = start(t, process.execPath, ['--no-warnings', '--experimental-websocket', file])
    t.match((await printed(/[^]*done: true/))[0], /^\{\s+type: 'stream',\s+agentId: 'main',\s+content: '你好'/)
  }
})

t.test('its TypeScript', async (t) => {
  const blocks = page.blocks.filter(({ language }) => language === 'ts')
  t.strictSame(blocks.map(({ section }) => section), PROGRAMS.map(({ section }) => section), 'each block has its program')
  const folder = t.testdir({ 'tsconfig.json': TSCONFIG })
  const files = blocks.map((block, index) => writeProgram(folder, block, index))

  t.test('keeps to the rules of this project\'s types', async (t) => {
    const faults = typeFaults(folder).map(({ file, line, text }) => {
      const index = files.findIndex((name) => basename(name) === basename(file))
      const [block, program] = [blocks[index], PROGRAMS[index]]
      const before = (program?.before ?? '').split('\n').length - 1
      return block === undefined ? `${file}: ${text}` : `README.md:${block.line + line - before}: ${text}`
    })
    t.strictSame(faults, [])
  })

  for (const [index, program] of PROGRAMS.entries()) {
    t.test(`runs: ${program.section}, line ${blocks[index]?.line}`, async (t) => {
      const running = start(t, process.execPath, ['--import', 'tsx', files[index] ?? ''], {
        env: { TSX_TSCONFIG_PATH: join(folder, 'tsconfig.json'), ...await program.prepare?.(t) }
      })
      if (program.attempt !== undefined) await program.attempt(t, await hostOf(t, running))
      else t.match(await running.ended, { code: 0, stderr: '' })
    })
  }
})

const PATHS = {
  'fastify-ws-channel': [join(root, 'lib/index.ts')],
  'fastify-ws-channel/adapters/*': [join(root, 'lib/adapters/*.ts')],
  'fastify-ws-channel/ai-sdk': [join(root, 'lib/chat-transport/index.ts')],
  'fastify-ws-channel/client': [join(root, 'lib/client/index.ts')],
  'fastify-ws-channel/client/sse': [join(root, 'lib/client/sse/index.ts')],
  'fastify-ws-channel/conformance': [join(root, 'lib/conformance/index.ts')],
  'fastify-ws-channel/postgres': [join(root, 'lib/postgres.ts')],
  'fastify-ws-channel/redis': [join(root, 'lib/redis.ts')]
}

/** The strictness is this project's; the package is its source. */
const TSCONFIG = JSON.stringify({
  extends: join(root, 'tsconfig.json'),
  compilerOptions: { rootDir: '/', paths: PATHS },
  include: ['*.ts']
})

function writeProgram (folder: string, { code }: Block, index: number): string {
  const { before = '', after = '', attempt } = PROGRAMS[index] ?? {}
  const file = join(folder, `block-${index}.ts`)
  const program = before + code + after + (attempt === undefined ? '' : SAY_WHERE)
  writeFileSync(file, program.replace('port: 9527', 'port: 0, host: \'127.0.0.1\''))
  return file
}

function isThere (command: string): boolean {
  const [name = '', ...args] = command.split(' ')
  switch (name) {
    case 'npm': return isNpmCommand(args)
    case 'npx': return args[0] === 'tap' && args.slice(1).every((arg) => arg.startsWith('--') || isFile(arg))
    case 'node':
    case '/usr/bin/python3': return isFile(args[0])
    // Run by test/examples/rest.test.ts.
    case 'curl': return args.some((arg) => arg.startsWith('http://localhost:9527/api/v1/agents/'))
    case 'apt-get': return args[0] === 'install' && args.slice(1).every((arg) => arg.startsWith('-') || isPrerequisite(arg))
    default: return false
  }
}

function isNpmCommand ([command = '', name = '']: string[]): boolean {
  const { name: packageName, scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as PackageJson
  if (command === 'run') return name in scripts
  return command === 'ci' || (command === 'i' && name === packageName) || command in scripts
}

function isFile (path = ''): boolean {
  return path !== '' && existsSync(join(root, path))
}

function isPrerequisite (name: string): boolean {
  return readFileSync(join(root, '.ci/prerequisites.mjs'), 'utf8').includes(`debianPackage: '${name}'`)
}

function runDocs (t: Test, args: string[]) {
  return run(t, process.execPath, ['--import', 'tsx', '.ci/docs.mjs', ...args])
}

interface PackageJson {
  name: string
  scripts: Record<string, string>
}
