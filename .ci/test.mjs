// `npm test`: everything that a change has to pass, and as the last line `N passed, N failed, N skipped`.
// The numbers are the assertions of tap and of tstyche. A step that fails without a failed assertion, such as lint or
// too little coverage, counts as one failure: the line must not say '0 failed' of a run that failed.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env, exit } from 'node:process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'

import { failuresOf } from './failures.mjs'
import { missingPackages } from './prerequisites.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'fastify-ws-channel-'))
const tapFile = join(scratch, 'all.tap')
// In CI each test is named as it passes; at a desk only what fails is of interest.
const REPORT = env.CI ? ['--reporter=tap'] : ['--reporter=min', `--output-file=${tapFile}`]

const CHECKS = [
  { name: 'types', command: ['npm', 'run', '--silent', 'typecheck'] },
  { name: 'lint', command: ['npm', 'run', '--silent', 'lint'] },
  { name: 'type tests', command: ['npm', 'run', '--silent', 'test:types'], count: countTypeTests }
]
const TESTS = {
  name: 'tests',
  command: [join('node_modules', '.bin', 'tap'), ...REPORT],
  count: (text) => countTests(tapOf(text)),
  failures: (text) => failuresOf(tapOf(text))
}

// tap builds itself anew where the plugins that it is to have are others than those it came with; but the run that does so goes
// on with the old ones, and each test process would load a compiler. So it is done before, once for each installation.
const BUILT_TAP = join(ROOT, 'node_modules', '@tapjs', 'test', 'test-built', 'dist', 'esm', 'index.js')
const BUILD_TAP = { name: 'test runner', command: [join('node_modules', '.bin', 'tap'), 'build'] }

const packages = missingPackages()
if (packages.length > 0) {
  console.error(`The tests need more of this machine. Run:\n  apt-get install -y --no-install-recommends ${packages.join(' ')}`)
  exit(1)
}

const total = { passed: 0, failed: 0, skipped: 0 }
const failedSteps = []
const failures = []
try {
  if (!existsSync(BUILT_TAP) || readFileSync(BUILT_TAP, 'utf8').includes('@tapjs/typescript')) await take(BUILD_TAP, console.log)
  console.log(`\n# ${CHECKS.map(({ name }) => name).join(', ')}: each prints when it is done`)
  await Promise.all(CHECKS.map(takeAside))
  await take(TESTS, console.log)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
if (total.passed + total.failed + total.skipped === 0) failedSteps.push('nothing was tested')
for (const failure of failures) console.log(`\n${failure}`)
if (failedSteps.length > 0) console.log(`\nfailed: ${failedSteps.join(', ')}`)
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
exit(failedSteps.length > 0 ? 1 : 0)

/** Beside others: none of the checks is about how long something takes. What it prints comes in one piece. */
async function takeAside (step) {
  const lines = []
  await take(step, (line) => { lines.push(line) })
  console.log(lines.join('\n'))
}

async function take ({ name, command, count, failures: failuresIn }, print) {
  print(`\n# ${name}`)
  const { code, text } = await run(command, print)
  const { passed, failed, skipped } = code === undefined || count === undefined ? {} : counted(count, text)
  const isFailure = code !== 0 || failed > 0 || (count !== undefined && passed === undefined)
  total.passed += passed ?? 0
  total.skipped += skipped ?? 0
  total.failed += isFailure ? Math.max(1, failed ?? 0) : 0
  if (isFailure) failedSteps.push(name)
  if (isFailure && code !== undefined && failuresIn !== undefined) failures.push(...failuresIn(text))
}

/** Undefined numbers, and with them a failed step, when a runner ended without its summary. */
function counted (count, text) {
  try {
    return count(text) ?? {}
  } catch {
    return {}
  }
}

/** What tap said of each assertion: in CI it prints that, at a desk it writes it to a file. */
function tapOf (text) {
  if (env.CI) return text
  return existsSync(tapFile) ? readFileSync(tapFile, 'utf8') : ''
}

/** Prints what the command prints, without escape codes and without the place where this clone lies. */
function run ([command, ...args], print) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], env: { ...env, NO_COLOR: '1', FORCE_COLOR: '0' } })
    const lines = []
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        const plain = stripVTControlCharacters(line).replaceAll(ROOT, '').replaceAll(ROOT.slice(0, -1), '.')
        lines.push(plain)
        print(plain)
      })
    }
    child.once('error', (error) => {
      print(error.message)
      resolve({ code: undefined, text: '' })
    })
    child.once('close', (code) => { resolve({ code, text: lines.join('\n') }) })
  })
}

/** tap ends with a line such as `# { total: 9, pass: 7, fail: 1, todo: 1 }`, without what is 0. */
function countTests (text) {
  const summary = text.match(/^# \{ total: .*\}$/gm)?.at(-1)
  if (summary === undefined) return undefined
  const number = (key) => Number(new RegExp(`\\b${key}: (\\d+)`).exec(summary)?.[1] ?? 0)
  return { passed: number('pass'), failed: number('fail'), skipped: number('skip') + number('todo') }
}

/** tstyche ends with a line such as `Assertions: 1 failed, 48 passed, 49 total`, without what is 0. */
function countTypeTests (text) {
  const summary = /^Assertions: .*$/m.exec(text)?.[0]
  if (summary === undefined) return undefined
  const number = (key) => Number(new RegExp(`(\\d+) ${key}\\b`).exec(summary)?.[1] ?? 0)
  return { passed: number('passed'), failed: number('failed'), skipped: number('skipped') + number('todo') }
}
