import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'

import t from 'tap'

import { root } from '../examples/processes.js'

const MAP = readFileSync(join(root, 'lib/README.md'), 'utf8')

t.test('the map of lib names every file once, says what it is, and names no other', async (t) => {
  const files = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => path.split(sep).join('/'))
  const named = [...MAP.matchAll(/^- `([^`]+\.ts)`: .+$/gm)].map(([, path = '']) => path)
  t.strictSame(named.toSorted(), files.toSorted())
})
