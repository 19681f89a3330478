// Both hooks of `typescript.mjs`, which run in a thread of their own.
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CACHE = join(ROOT, 'node_modules', '.cache', 'typescript')
const TYPESCRIPT = /\.tsx?$/
/** What makes another translation of the same text. */
const EDITION = ['package.json', 'tsconfig.json', '.ci/typescript-hooks.mjs'].map((name) => readFileSync(join(ROOT, name), 'utf8')).join()
  + JSON.parse(readFileSync(require.resolve('typescript/package.json'), 'utf8')).version

mkdirSync(CACHE, { recursive: true })

/** Imports name what the compiler will have written. */
export async function resolve (specifier, context, next) {
  if (/^\.{1,2}\/.*\.js$/.test(specifier) && TYPESCRIPT.test(context.parentURL ?? '')) {
    for (const ending of ['.ts', '.tsx']) {
      const url = new URL(specifier.replace(/\.js$/, ending), context.parentURL)
      if (existsSync(url)) return { url: url.href, format: 'module', shortCircuit: true }
    }
  }
  return next(specifier, context)
}

export async function load (url, context, next) {
  if (!url.startsWith('file:') || !TYPESCRIPT.test(new URL(url).pathname)) return next(url, context)
  return { format: 'module', source: translated(fileURLToPath(url)), shortCircuit: true }
}

function translated (file) {
  const source = readFileSync(file, 'utf8')
  const kept = join(CACHE, createHash('sha256').update(EDITION).update(file).update('\0').update(source).digest('hex'))
  if (existsSync(kept)) return readFileSync(kept, 'utf8')
  const code = translate(file, source)
  // Others may be at it too.
  const own = `${kept}.${randomUUID()}`
  writeFileSync(own, code)
  renameSync(own, kept)
  return code
}

let compilerOptions

function translate (fileName, source) {
  const ts = require('typescript')
  compilerOptions ??= {
    ...ts.parseJsonConfigFileContent(ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile).config, ts.sys, ROOT).options,
    module: ts.ModuleKind.ESNext,
    declaration: false,
    inlineSourceMap: true,
    inlineSources: true
  }
  return ts.transpileModule(source, { fileName, compilerOptions }).outputText
}
