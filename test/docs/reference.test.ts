import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import t, { type Test } from 'tap'

import { DEFAULT_LIMITS } from '../../lib/options.js'
import { clientFrameSchemas } from '../../lib/protocol/client-frames.js'
import { CLOSE_CODES, ERROR_CODES } from '../../lib/protocol/codes.js'
import { createDecoder } from '../../lib/protocol/decode.js'
import { hostFrameShape } from '../../lib/protocol/host-frame.js'
import { serverFrameSchemas } from '../../lib/protocol/server-frames.js'
import { root, run } from '../examples/processes.js'
import { readTranscripts } from '../helpers/transcript-files.js'
import { readable } from '../helpers/transcript-placeholders.js'
import { serverFrameFault } from '../helpers/transcript-schemas.js'
import { readPage } from './markdown.js'

const REFERENCE = readFileSync(join(root, 'lib/protocol/reference.md'), 'utf8')
const transcripts = readTranscripts().map(({ transcript }) => transcript)
const said = readPage(REFERENCE).blocks.flatMap(({ code }) => code.trimEnd().split('\n'))

// Starting processes through a compiler takes its time on a busy machine.
t.setTimeout(120_000)

t.test('the protocol reference is what the schemas, the codes and the transcripts say', async (t) => {
  const { code, stderr } = await runDocs(t, ['--check', 'lib/protocol/reference.md'])
  t.equal(code, 0, stderr)
})

t.test('a reference that says something else is found', async (t) => {
  const file = join(t.testdir(), 'reference.md')
  writeFileSync(file, REFERENCE.replace('"status":"started"', '"status":"begun"'))
  const { code, stderr } = await runDocs(t, ['--check', file])
  t.equal(code, 1)
  t.match(stderr, /reference\.md: not what the code and the transcripts say/)
})

t.test('the example frames of the AsyncAPI document are what the transcripts say', async (t) => {
  const { code, stderr } = await runDocs(t, ['--check', 'lib/protocol/frame-examples.ts'])
  t.equal(code, 0, stderr)
  const file = join(t.testdir(), 'frame-examples.ts')
  writeFileSync(file, '')
  const stale = await runDocs(t, ['--check', file])
  t.equal(stale.code, 1)
  t.match(stale.stderr, /frame-examples\.ts: not what the code and the transcripts say/)
})

t.test('it tells every frame, every code and every behaviour', async (t) => {
  for (const type of [...Object.keys(clientFrameSchemas(DEFAULT_LIMITS)), ...Object.keys(serverFrameSchemas)]) {
    t.ok(REFERENCE.includes(`### \`${type}\`\n`), type)
  }
  for (const code of Object.keys(ERROR_CODES)) t.ok(REFERENCE.includes(`| \`${code}\` |`), code)
  for (const { code } of Object.values(CLOSE_CODES)) t.match(REFERENCE, new RegExp(`[|;] ${code}: `))
  for (const { title } of transcripts) t.equal(REFERENCE.split(`#### ${title}\n`).length, 2, title)
})

t.test('its example frames are as the schemas say', async (t) => {
  const schemas = transcripts.flatMap(({ types = {} }) => Object.entries(types))
  const types = new Map(schemas.map(([type, schema]) => [type, hostFrameShape(schema)]))
  const decode = createDecoder(DEFAULT_LIMITS, types)
  const badFrames = new Set(transcripts.flatMap(({ lines }) => lines).map((line) => 'bad' in line ? JSON.stringify(readable(line.frame)) : ''))
  const shown = { '→': new Set<string>(), '←': new Set<string>() }
  for (const line of said) {
    // What is shown because it is wrong is left out.
    const [, arrow, frame] = /^(?:\w+ )?([→←]) (\{"(?:type|id)":.*\})$/.exec(line) ?? []
    if (frame === undefined || (arrow !== '→' && arrow !== '←') || badFrames.has(frame) || frame.includes('__proto__')) continue
    const { type = '' } = JSON.parse(frame) as { type?: string }
    shown[arrow].add(type)
    if (arrow === '←') t.equal(serverFrameFault(JSON.parse(frame), [...types.keys()]), undefined, frame)
    else t.ok(decode(Buffer.from(frame)).ok, frame)
  }
  t.strictSame(Object.keys(clientFrameSchemas(DEFAULT_LIMITS)).filter((type) => !shown['→'].has(type)), [], 'each type of the client\'s is shown')
  t.strictSame(Object.keys(serverFrameSchemas).filter((type) => !shown['←'].has(type)), [], 'each type of the server\'s is shown')
})

t.test('it shows no placeholder, and no line that says nothing', async (t) => {
  t.notMatch(REFERENCE, /"\$[a-z]+\d*"/)
  t.strictSame(said.filter((line) => !/^(?:(?:\w+ )?[→←]|·) ./.test(line) || line.includes('undefined')), [])
})

function runDocs (t: Test, args: string[]) {
  return run(t, process.execPath, ['--import', 'tsx', '.ci/docs.mjs', ...args])
}
