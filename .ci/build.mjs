// Writes the package into `dist`, or into a new folder that it is given: the declarations of each file, and the code in one file for each
// entry point, beside what these share. A few large files cost a process less memory and time than the hundreds they are made of.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

import { build } from 'esbuild'

import { writePage } from './page-bundle.mjs'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const DIST = resolve(process.argv[2] ?? join(ROOT, 'dist'))
const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))

if (process.argv[2] === undefined) rmSync(DIST, { recursive: true, force: true })
else if (existsSync(DIST)) throw new Error(`${DIST} is there already`)
const compiler = [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', join(ROOT, '.ci/tsconfig.build.json'), '--outDir', DIST]
execFileSync(process.execPath, compiler, { stdio: 'inherit' })
await build({
  entryPoints: Object.values(exports).flatMap(({ default: file }) => file === undefined ? [] : join(ROOT, sourceOf(file))),
  outdir: DIST,
  outbase: join(ROOT, 'lib'),
  bundle: true,
  splitting: true,
  packages: 'external',
  external: ['node:*'],
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
  sourcemap: true,
  // They are in the package.
  sourcesContent: false,
  logLevel: 'warning'
})
await writePage(DIST)

function sourceOf (file) {
  return file.replace(/^\.\/dist\//, 'lib/').replace(/\.js$/, '.ts')
}
