import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, posix, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const LIB = fileURLToPath(new URL('../lib/', import.meta.url))
const PACKAGE = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { peerDependenciesMeta: object }
const MAX_LINES = 350
const VAGUE_NAMES = ['utils', 'types', 'common', 'helpers']

/** A file imports from its own folder and from lower floors; the root's files lie above all. */
const FLOOR_BY_FOLDER: Readonly<Record<string, number>> = {
  protocol: 0,
  redis: 0,
  agent: 1,
  sessions: 1,
  journal: 1,
  conformance: 1,
  turns: 2,
  adapters: 2,
  transports: 3,
  playground: 3,
  '.': 4
}

/** Whatever stands on no floor may be imported from every one. */
const GROUND = ['block-text.ts', 'bounds.ts', 'clock.ts', 'awaitable.ts', 'errors.ts', 'few-ids.ts', 'store-error.ts', 'touch-order.ts', 'uuid.ts']

/** What the conformance suites test, on their own floor. */
const CONTRACTS = ['agent/executor.ts', 'sessions/session-store.ts', 'journal/journal.ts']

/** SDKs of which a host may have none: what is imported of them at run time would be missed. */
const OPTIONAL = Object.keys(PACKAGE.peerDependenciesMeta)

/** Bundled, and served as a text: nothing of the server's code may know it. */
const PAGE = 'playground/page/'

/** Folders apart, which run in browsers: what each may import of the others. */
const TOWERS: Readonly<Record<string, readonly string[]>> = { client: ['client'], 'chat-transport': ['chat-transport', 'client'] }

/** What of the server's code runs in a browser too. */
const SHARED_WITH_CLIENT = ['protocol/names.ts', 'protocol/codes.ts', 'protocol/agent-event-data.ts']

t.test('lib keeps to its floors, names and lengths', async (t) => {
  const tree = readTree(LIB)
  t.ok(tree.size > 0)
  t.strictSame(faultsOf(tree), [])
})

t.test('the rule lets through what it is for', async (t) => {
  t.strictSame(faultsOf(treeOf({
    'clock.ts': '',
    'errors.ts': 'import createError from "@fastify/error"',
    'protocol/names.ts': '',
    'protocol/frames.ts': 'import { Type } from "@sinclair/typebox"; import "./names.js"; import "../clock.js"',
    'journal/journal.ts': 'export type { Frame } from "../protocol/frames.js"',
    'journal/memory-journal.ts': 'import "node:crypto"; import "./journal.js"',
    'conformance/journal-suite.ts': 'import type { Journal } from "../journal/journal.js"',
    'turns/engine.ts': 'import "../journal/memory-journal.js"; import "../errors.js"',
    'transports/socket.ts': 'import "../turns/engine.js"; import "../protocol/frames.js"',
    'client/client.ts': 'import "../protocol/names.js"; import type { Frame } from "../protocol/frames.js"; import "./link.js"',
    'client/link.ts': 'import type { Static } from "@sinclair/typebox"',
    'chat-transport/chat.ts': 'import type { UIMessage } from "ai"; import "../client/client.js"; import "../protocol/names.js"',
    'playground/document.ts': 'import "node:crypto"; import "../protocol/names.js"',
    'playground/page/main.ts': 'import "../../client/client.js"; import "marked"; import "./words.js"',
    'playground/page/words.ts': '',
    'playground.ts': 'import "./playground/document.js"; import "./transports/socket.js"',
    'index.ts': 'import "./plugin.js"; export * from "./transports/socket.js"',
    'plugin.ts': 'import "./turns/engine.js"'
  })), [])
})

t.test('the rule catches', async (t) => {
  const cases: Record<string, [files: Record<string, string>, faults: string[]]> = {
    'an upward import': [
      { 'turns/turn.ts': 'import { send } from "../transports/socket.js"', 'transports/socket.ts': '' },
      ['turns/turn.ts must not import transports/socket.ts']
    ],
    'an upward import of types, re-exported, dynamic or in the middle of a type': [
      {
        'agent/a.ts': 'import type { B } from "../turns/b.js"',
        'agent/c.ts': 'export * from "../turns/b.js"',
        'agent/d.ts': 'const b = () => import("../turns/b.js")',
        'agent/e.ts': 'let b: import("../turns/b.js").B',
        'turns/b.ts': ''
      },
      ['agent/a.ts', 'agent/c.ts', 'agent/d.ts', 'agent/e.ts'].map((file) => `${file} must not import turns/b.ts`)
    ],
    'an import of the root from a floor': [
      { 'transports/socket.ts': 'import "../options.js"', 'options.ts': '' },
      ['transports/socket.ts must not import options.ts']
    ],
    'an import across a floor': [
      { 'journal/a.ts': 'import "../sessions/b.js"', 'sessions/b.ts': '' },
      ['journal/a.ts must not import sessions/b.ts']
    ],
    'a suite that knows an implementation': [
      { 'conformance/a.ts': 'import "../journal/memory-journal.js"', 'journal/memory-journal.ts': '' },
      ['conformance/a.ts must not import journal/memory-journal.ts']
    ],
    'ground that stands on a floor': [
      { 'clock.ts': 'import type { Name } from "./protocol/names.js"', 'protocol/names.ts': '' },
      ['clock.ts must not import protocol/names.ts']
    ],
    'an SDK at run time, also where only names are types': [
      {
        'adapters/a.ts': 'import { streamText } from "ai"',
        'adapters/b.ts': 'import { type Chunk } from "openai/resources"',
        'turns/c.ts': 'import type { Chunk } from "openai/resources"; import "aix"'
      },
      ['adapters/a.ts must not import ai', 'adapters/b.ts must not import openai/resources']
    ],
    'a server that knows the client': [
      { 'transports/a.ts': 'import "../client/link.js"', 'client/link.ts': '' },
      ['transports/a.ts must not import client/link.ts']
    ],
    'a cycle, of types too': [
      { 'turns/a.ts': 'import "./b.js"', 'turns/b.ts': 'import "./c.js"', 'turns/c.ts': 'import type { A } from "./a.js"' },
      ['a cycle: turns/a.ts > turns/b.ts > turns/c.ts > turns/a.ts']
    ],
    'Node in the client, even its types': [
      { 'client/a.ts': 'import { Buffer } from "node:buffer"', 'client/b.ts': 'import type { Socket } from "node:net"' },
      ['client/a.ts must not import node:buffer', 'client/b.ts must not import node:net']
    ],
    'a package in the client at run time, also where only names are types': [
      { 'client/a.ts': 'import { Type } from "@sinclair/typebox"', 'client/b.ts': 'import { type Static } from "@sinclair/typebox"' },
      ['client/a.ts must not import @sinclair/typebox', 'client/b.ts must not import @sinclair/typebox']
    ],
    'the server in the client': [
      {
        'client/a.ts': 'import "../protocol/frames.js"',
        'client/b.ts': 'import type { Turn } from "../turns/turn.js"',
        'protocol/frames.ts': '',
        'turns/turn.ts': ''
      },
      ['client/a.ts must not import protocol/frames.ts', 'client/b.ts must not import turns/turn.ts']
    ],
    'an SDK in the transport of its chats at run time, and that in the client or the server': [
      {
        'chat-transport/a.ts': 'import { Chat } from "ai"; import "../turns/turn.js"',
        'client/a.ts': 'import "../chat-transport/a.js"',
        'plugin.ts': 'import type { A } from "./chat-transport/a.js"',
        'turns/turn.ts': ''
      },
      [
        'chat-transport/a.ts must not import ai', 'chat-transport/a.ts must not import turns/turn.ts',
        'client/a.ts must not import chat-transport/a.ts', 'plugin.ts must not import chat-transport/a.ts'
      ]
    ],
    'Node and the server in the page, and the page in the server': [
      {
        'playground/page/a.ts': 'import "node:fs"; import type { Turn } from "../../turns/turn.js"; import "../document.js"',
        'playground/document.ts': 'import "./page/b.js"; import "../client/link.js"',
        'playground/page/b.ts': '',
        'playground.ts': 'import "./playground/page/b.js"',
        'client/link.ts': '',
        'turns/turn.ts': ''
      },
      [
        'playground/page/a.ts must not import node:fs', 'playground/page/a.ts must not import turns/turn.ts',
        'playground/page/a.ts must not import playground/document.ts', 'playground/document.ts must not import playground/page/b.ts',
        'playground/document.ts must not import client/link.ts', 'playground.ts must not import playground/page/b.ts'
      ]
    ],
    'a folder without a floor': [{ 'misc/a.ts': '' }, ['misc/a.ts is in a folder without a floor']],
    'a vague name': [
      { 'turns/utils.ts': '', 'common/a.ts': '' },
      ['turns/utils.ts has a name that says nothing', 'common/a.ts has a name that says nothing', 'common/a.ts is in a folder without a floor']
    ],
    'a file that is too long': [
      { 'turns/a.ts': '\n'.repeat(MAX_LINES) + 'x', 'turns/b.ts': 'x\n'.repeat(MAX_LINES) },
      [`turns/a.ts has more than ${MAX_LINES} lines`]
    ]
  }
  for (const [name, [files, faults]] of Object.entries(cases)) t.strictSame(faultsOf(treeOf(files)), faults, name)
})

function faultsOf (tree: Tree): string[] {
  const imports = new Map([...tree].map(([file, source]) => [file, importsOf(file, source)]))
  return [
    ...[...tree].flatMap(([file, source]) => namingFaults(file, source)),
    ...[...imports].flatMap(([file, targets]) => targets
      .filter((target) => !isAllowed(file, target))
      .map(({ to }) => `${file} must not import ${to}`)),
    ...cyclesOf(imports)
  ]
}

function namingFaults (file: string, source: string): string[] {
  const isVague = file.replace(/\.ts$/, '').split('/').some((name) => VAGUE_NAMES.includes(name))
  const isHoused = folderOf(file) in TOWERS || folderOf(file) in FLOOR_BY_FOLDER
  return [
    ...isVague ? [`${file} has a name that says nothing`] : [],
    ...isHoused ? [] : [`${file} is in a folder without a floor`],
    ...source.replace(/\n$/, '').split('\n').length > MAX_LINES ? [`${file} has more than ${MAX_LINES} lines`] : []
  ]
}

function isAllowed (from: string, target: Import): boolean {
  const { to, isPackage } = target
  const tower = TOWERS[folderOf(from)]
  if (tower !== undefined) return isAllowedInBrowsers(target, tower)
  if (folderOf(to) === 'chat-transport') return false
  if (from.startsWith(PAGE)) return isAllowedInPage(target)
  if (to.startsWith(PAGE)) return false
  if (isPackage) return target.isTypeOnly || !OPTIONAL.some((name) => to === name || to.startsWith(`${name}/`))
  if (GROUND.includes(to)) return true
  if (GROUND.includes(from)) return false
  const [own, other] = [folderOf(from), folderOf(to)]
  if (own === other) return true
  if (own === 'conformance' && CONTRACTS.includes(to)) return true
  if (other === 'client') return own === '.'
  return floorOf(other) < floorOf(own)
}

function isAllowedInBrowsers ({ to, isPackage, isTypeOnly }: Import, tower: readonly string[]): boolean {
  if (isPackage) return isTypeOnly && !to.startsWith('node:')
  if (tower.includes(folderOf(to)) || SHARED_WITH_CLIENT.includes(to)) return true
  return isTypeOnly && (folderOf(to) === 'protocol' || GROUND.includes(to))
}

/** Its packages are bundled with it. */
function isAllowedInPage ({ to, isPackage }: Import): boolean {
  return isPackage ? !to.startsWith('node:') : to.startsWith(PAGE) || folderOf(to) === 'client'
}

/** A folder without a floor is a fault already. */
function floorOf (folder: string): number {
  return FLOOR_BY_FOLDER[folder] ?? Number.NaN
}

function folderOf (file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : '.'
}

function importsOf (file: string, source: string): Import[] {
  const found: Import[] = []
  const visit = (node: ts.Node): void => {
    const [specifier, isTypeOnly] = specifierOf(node)
    if (specifier !== undefined && ts.isStringLiteral(specifier)) found.push(importOf(file, specifier.text, isTypeOnly))
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, source, ts.ScriptTarget.Latest))
  return found
}

/**
 * `import { type A } from` is not type-only: under `verbatimModuleSyntax` the module is loaded, only the name is not.
 */
function specifierOf (node: ts.Node): [specifier: ts.Node | undefined, isTypeOnly: boolean] {
  if (ts.isImportDeclaration(node)) return [node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword]
  if (ts.isExportDeclaration(node)) return [node.moduleSpecifier, node.isTypeOnly]
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) return [node.arguments[0], false]
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) return [node.argument.literal, true]
  return [undefined, false]
}

function importOf (file: string, specifier: string, isTypeOnly: boolean): Import {
  if (!specifier.startsWith('.')) return { to: specifier, isPackage: true, isTypeOnly }
  const to = posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts')
  return { to, isPackage: false, isTypeOnly }
}

/** One path for each file that closes a cycle. */
function cyclesOf (imports: Map<string, Import[]>): string[] {
  const cycles: string[] = []
  const done = new Set<string>()
  const walk = (file: string, path: string[]): void => {
    const start = path.indexOf(file)
    if (start >= 0) cycles.push(`a cycle: ${[...path.slice(start), file].join(' > ')}`)
    if (start >= 0 || done.has(file)) return
    for (const { to } of imports.get(file) ?? []) walk(to, [...path, file])
    done.add(file)
  }
  for (const file of imports.keys()) walk(file, [])
  return cycles
}

function readTree (root: string): Tree {
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  return new Map(files.map((file) => [
    posix.join(...relative(root, dirname(file)).split(sep), basename(file)), readFileSync(file, 'utf8')
  ]))
}

function treeOf (files: Record<string, string>): Tree {
  return new Map(Object.entries(files))
}

/** Sources by path, from `lib/` on. */
type Tree = Map<string, string>

interface Import {
  /** A path from `lib/` on, or a package. */
  to: string
  isPackage: boolean
  isTypeOnly: boolean
}
