// `npm run docs`: writes the tables of README.md and lib/limits.md from the code that they describe, each between two comments such as
// <!-- docs:options --> and <!-- /docs:options -->. `--check [file]` writes nothing, and fails when a table is not what it would be.
// The protocol reference, lib/protocol/reference.md, and the examples beside it, frame-examples.ts, it writes whole.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import process, { argv } from 'node:process'
import { fileURLToPath } from 'node:url'

import ts from 'typescript'

import { DEFAULT_LIMITS } from '../lib/options.js'
import { clientFrameSchemas } from '../lib/protocol/client-frames.js'
import { CLOSE_CODES } from '../lib/protocol/codes.js'
import { MAX_NAME_LENGTH } from '../lib/protocol/names.js'
import { makeExamples } from './examples.mjs'
import { makeReference } from './reference.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LIB = join(ROOT, 'lib')

const WHAT_A_CLIENT_DOES = {
  no: 'stay away',
  yes: 'reconnect',
  'without-that-frame': 'reconnect, and do not send that message again',
  'back-off': 'reconnect after a pause that grows with each failure',
  'after-hint': 'reconnect after `afterMs` of the `reconnect` frame, else after a pause that differs between clients',
  'after-renewal': 'get new credentials, then reconnect'
}

const TIMES = [['h', 3_600_000], ['min', 60_000], ['s', 1_000]]
const SIZES = [['MiB', 1024 * 1024], ['KiB', 1024]]

const PAGES = {
  'README.md': {
    options: setupTable,
    'client-frames': () => framesTable(clientFrameSchemas(DEFAULT_LIMITS))
  },
  'lib/limits.md': {
    limits: limitsTable,
    'journal-options': () => boundsTable('journal/memory-journal.ts', 'MemoryJournalOptions'),
    'redis-journal-options': () => boundsTable('journal/redis/redis-journal-options.ts', 'RedisJournalOptions'),
    'redis-session-options': () => boundsTable('sessions/redis-session-store.ts', 'RedisSessionStoreOptions'),
    'postgres-session-options': () => boundsTable('sessions/postgres-session-store.ts', 'PostgresSessionStoreOptions')
  }
}

const isCheck = argv.includes('--check')
const named = argv.slice(2).find((argument) => argument !== '--check')
const WHOLE_FILES = { 'reference.md': () => makeReference({ table, typeText, closesTable }), 'frame-examples.ts': makeExamples }
for (const [file, make] of Object.entries(WHOLE_FILES)) {
  if (named === undefined || basename(named) === file) keepWhole(named ?? join(LIB, 'protocol', file), make())
}
for (const [page, tables] of Object.entries(PAGES)) {
  if (named === undefined || basename(named) === basename(page)) keepTables(named ?? join(ROOT, page), tables)
}

function keepTables (path, tables) {
  const before = readFileSync(path, 'utf8')
  const withTables = (text, names) => names.reduce((text, name) => withTable(path, text, name, tables[name]), text)
  const after = withTables(before, Object.keys(tables))
  if (!isCheck) return writeFileSync(path, after)
  if (after === before) return
  const stale = Object.keys(tables).filter((name) => withTables(before, [name]) !== before)
  console.error(`${path}: ${stale.join(', ')}: not what the code says; run \`npm run docs\``)
  process.exitCode = 1
}

function keepWhole (path, text) {
  if (!isCheck) return writeFileSync(path, text)
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return
  console.error(`${path}: not what the code and the transcripts say; run \`npm run docs\``)
  process.exitCode = 1
}

function withTable (path, text, name, makeTable) {
  const [start, end] = [`<!-- docs:${name} -->\n`, `<!-- /docs:${name} -->`]
  const [head, rest, ...more] = text.split(start)
  if (rest === undefined || more.length > 0 || !rest.includes(end)) throw new Error(`${path} needs one ${start.trim()} … ${end}`)
  return `${head}${start}${makeTable()}\n${rest.slice(rest.indexOf(end))}`
}

function setupTable () {
  return table(['Option', 'Type', 'What it is', 'Default'], propertiesOf('ChannelSetup').map(({ name, type, sentence, byDefault }) => [
    `\`${name}\``, `\`${type}\``, sentence, /^['[]/.test(byDefault) ? `\`${byDefault}\`` : byDefault
  ]))
}

function limitsTable () {
  return table(['Option', 'What it is', 'Default'], propertiesOf('ChannelLimits').map(({ name, sentence, byDefault }) => {
    const value = DEFAULT_LIMITS[name]
    if (Number(byDefault) !== value) throw new Error(`lib/options.ts: ${name} says \`@default ${byDefault}\`, DEFAULT_LIMITS says ${value}`)
    return [`\`${name}\``, sentence, inUnits(name, value)]
  }))
}

/** Of the numbers among the options of an interface. */
function boundsTable (path, name) {
  const numbers = defaultsIn(sourceOf(path))
  const options = propertiesOf(name, path).filter(({ type }) => type === 'number')
  return table(['Option', 'What it is', 'Default'], options.map(({ name, sentence, byDefault }) => {
    const value = numbers.get(name)
    if (Number(byDefault.replaceAll('_', '')) !== value) throw new Error(`lib/${path}: ${name} says \`@default ${byDefault}\`, the code says ${value}`)
    return [`\`${name}\``, sentence, inUnits(name, value)]
  }))
}

/** The numbers of the object of defaults that a file has. */
function defaultsIn (source) {
  const declarations = source.statements.filter(ts.isVariableStatement).flatMap(({ declarationList }) => [...declarationList.declarations])
  const { initializer } = declarations.find(({ name }) => name.getText() === 'DEFAULT_BOUNDS')
  return new Map(initializer.properties.map((property) => [property.name.getText(), numberOf(property.initializer)]))
}

function numberOf (node) {
  const isProduct = ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.AsteriskToken
  if (isProduct) return numberOf(node.left) * numberOf(node.right)
  return ts.isNumericLiteral(node) ? Number(node.text.replaceAll('_', '')) : Number.NaN
}

/** What an interface says of its properties. */
function propertiesOf (name, path = 'options.ts') {
  const found = sourceOf(path).statements.find((statement) => ts.isInterfaceDeclaration(statement) && statement.name.text === name)
  if (found === undefined) throw new Error(`lib/${path} has no interface ${name}`)
  return found.members.map((member) => ({
    name: member.name.getText(),
    type: member.type.getText().replace(/ \| undefined$/, ''),
    sentence: oneLine(ts.getJSDocCommentsAndTags(member)[0]?.comment),
    byDefault: defaultOf(member)
  }))
}

function sourceOf (path) {
  return ts.createSourceFile(path, readFileSync(join(LIB, path), 'utf8'), ts.ScriptTarget.Latest, true)
}

function defaultOf (member) {
  const tag = ts.getJSDocTags(member).find(({ tagName }) => tagName.text === 'default')
  if (tag === undefined && !['clock', 'prefix'].includes(member.name.getText())) throw new Error(`${member.name.getText()} says no @default`)
  return tag === undefined ? '' : oneLine(tag.comment)
}

function oneLine (comment) {
  return (ts.getTextOfJSDocComment(comment) ?? '').replace(/\s*\n\s*/g, ' ')
}

function inUnits (name, value) {
  const units = name.endsWith('Ms') ? TIMES : /Bytes$|^maxPayload$/.test(name) ? SIZES : []
  const [unit, size] = units.find(([, size]) => value >= size && value % size === 0) ?? []
  return unit === undefined ? `${value}` : `${value} (${value / size} ${unit})`
}

function framesTable (schemas) {
  return table(['`type`', 'Fields', 'What it says'], Object.entries(schemas).map(([type, { properties, required, description }]) => {
    const names = Object.keys(properties).filter((field) => field !== 'type')
    return [`\`${type}\``, names.map((name) => fieldText(name, properties[name], required.includes(name))).join(', '), description]
  }))
}

function fieldText (name, schema, isRequired) {
  return `\`${name}${isRequired ? '' : '?'}\` ${typeText(schema)}`
}

function typeText ({ type, const: value, anyOf, items, properties, required, patternProperties, minLength, maxLength }) {
  if (value !== undefined) return `\`${value}\``
  // The codes have a table of their own.
  if (anyOf !== undefined) return anyOf.length > 8 ? 'a code' : anyOf.map(typeText).join(' or ')
  if (type === 'array') return `${typeText(items)}[]`
  if (properties !== undefined) {
    return `{ ${Object.entries(properties).map(([name, schema]) => fieldText(name, schema, required.includes(name))).join(', ')} }`
  }
  if (patternProperties !== undefined) return 'object'
  if (maxLength === MAX_NAME_LENGTH) return 'name'
  return maxLength === undefined ? type ?? 'JSON' : `${type} (${minLength} to ${maxLength})`
}

/** One row for each thing that a client does. */
function closesTable () {
  const codesByAdvice = new Map()
  for (const { code, reason, reconnect } of Object.values(CLOSE_CODES)) {
    const advice = WHAT_A_CLIENT_DOES[reconnect]
    if (advice === undefined) throw new Error(`nothing is written about the advice ${reconnect}`)
    const why = reason === '' ? 'the client closed it, or nothing went wrong' : reason
    codesByAdvice.set(advice, [...codesByAdvice.get(advice) ?? [], `${code}: ${why}`])
  }
  return table(['Code, and why', 'What a client does next'], [...codesByAdvice].map(([advice, codes]) => [codes.join('; '), advice]))
}

function table (heads, rows) {
  const lines = [heads, heads.map(() => '---'), ...rows.map((cells) => cells.map((cell) => cell.replaceAll('|', '\\|')))]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
