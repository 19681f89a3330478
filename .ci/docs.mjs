// `npm run docs`: writes the tables of README.md from the code that they describe, each between two comments such as
// <!-- docs:options --> and <!-- /docs:options -->. `--check [file]` writes nothing, and fails when a table is not what it would be.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv, exit } from 'node:process'
import { fileURLToPath } from 'node:url'

import ts from 'typescript'

import { DEFAULT_LIMITS } from '../lib/options.js'
import { clientFrameSchemas } from '../lib/protocol/client-frames.js'
import { CLOSE_CODES, ERROR_CODES } from '../lib/protocol/codes.js'
import { MAX_NAME_LENGTH } from '../lib/protocol/names.js'
import { serverFrameSchemas } from '../lib/protocol/server-frames.js'

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

/** The schemas are those of the whole protocol: of it, this version speaks so much. */
const SPOKEN_BY_CLIENTS = { chat: ['message', 'agentId', 'sessionId', 'stream', 'onBusy', 'metadata'], ping: ['id'] }
const SPOKEN_BY_SERVER = {
  stream: ['agentId', 'content', 'done'],
  message: ['agentId', 'content', 'done'],
  error: ['agentId', 'code', 'message', 'retryable', 'done', 'retryAfterMs', 'details', 'id'],
  pong: ['id'],
  ready: ['protocol', 'connectionId', 'journal', 'maxPayload', 'maxFrameBytes', 'heartbeatMs', 'types'],
  reconnect: ['reason', 'afterMs']
}

const TIMES = [['h', 3_600_000], ['min', 60_000], ['s', 1_000]]
const SIZES = [['MiB', 1024 * 1024], ['KiB', 1024]]

const TABLES = {
  options: optionsTable,
  'client-frames': () => framesTable(clientFrameSchemas(DEFAULT_LIMITS), SPOKEN_BY_CLIENTS),
  'server-frames': () => framesTable(serverFrameSchemas, SPOKEN_BY_SERVER),
  'error-codes': errorsTable,
  'close-codes': closesTable
}

const isCheck = argv.includes('--check')
const file = argv.slice(2).find((argument) => argument !== '--check') ?? join(ROOT, 'README.md')
const before = readFileSync(file, 'utf8')
const after = Object.entries(TABLES).reduce(withTable, before)
if (!isCheck) writeFileSync(file, after)
else if (after !== before) {
  console.error(`${file}: ${staleTables().join(', ')}: not what the code says; run \`npm run docs\``)
  exit(1)
}

function withTable (text, [name, makeTable]) {
  const [start, end] = [`<!-- docs:${name} -->\n`, `<!-- /docs:${name} -->`]
  const [head, rest, ...more] = text.split(start)
  if (rest === undefined || more.length > 0 || !rest.includes(end)) throw new Error(`${file} needs one ${start.trim()} … ${end}`)
  return `${head}${start}${makeTable()}\n${rest.slice(rest.indexOf(end))}`
}

function staleTables () {
  return Object.entries(TABLES).filter((entry) => withTable(before, entry) !== before).map(([name]) => name)
}

function optionsTable () {
  return table(['Option', 'Type', 'What it is', 'Default'], [
    ...propertiesOf('ChannelSetup').map(({ name, type, sentence, byDefault }) => [
      `\`${name}\``, `\`${type}\``, sentence, /^['[]/.test(byDefault) ? `\`${byDefault}\`` : byDefault
    ]),
    ...propertiesOf('ChannelLimits').map(({ name, type, sentence, byDefault }) => {
      const value = DEFAULT_LIMITS[name]
      if (Number(byDefault) !== value) throw new Error(`lib/options.ts: ${name} says \`@default ${byDefault}\`, DEFAULT_LIMITS says ${value}`)
      return [`\`${name}\``, `\`${type}\``, sentence, inUnits(name, value)]
    })
  ])
}

/** What an interface of lib/options.ts says of its properties. */
function propertiesOf (name) {
  const source = ts.createSourceFile('options.ts', readFileSync(join(LIB, 'options.ts'), 'utf8'), ts.ScriptTarget.Latest, true)
  const found = source.statements.find((statement) => ts.isInterfaceDeclaration(statement) && statement.name.text === name)
  if (found === undefined) throw new Error(`lib/options.ts has no interface ${name}`)
  return found.members.map((member) => ({
    name: member.name.getText(),
    type: member.type.getText().replace(/ \| undefined$/, ''),
    sentence: oneLine(ts.getJSDocCommentsAndTags(member)[0]?.comment),
    byDefault: defaultOf(member)
  }))
}

function defaultOf (member) {
  const tag = ts.getJSDocTags(member).find(({ tagName }) => tagName.text === 'default')
  if (tag === undefined) throw new Error(`lib/options.ts: ${member.name.getText()} says no @default`)
  return oneLine(tag.comment)
}

function oneLine (comment) {
  return (ts.getTextOfJSDocComment(comment) ?? '').replace(/\s*\n\s*/g, ' ')
}

function inUnits (name, value) {
  const units = name.endsWith('Ms') ? TIMES : /Bytes$|^maxPayload$/.test(name) ? SIZES : []
  const [unit, size] = units.find(([, size]) => value >= size && value % size === 0) ?? []
  return unit === undefined ? `${value}` : `${value} (${value / size} ${unit})`
}

function framesTable (schemas, spoken) {
  return table(['`type`', 'Fields', 'What it says'], Object.entries(spoken).map(([type, fields]) => {
    const { properties, required, description } = schemas[type]
    return [`\`${type}\``, fields.map((field) => fieldText(field, properties[field], required.includes(field))).join(', '), description]
  }))
}

function fieldText (name, schema, isRequired) {
  return `\`${name}${isRequired ? '' : '?'}\` ${typeText(schema)}`
}

function typeText ({ type, const: value, anyOf, items, properties, patternProperties, minLength, maxLength }) {
  if (value !== undefined) return `\`${value}\``
  // The codes have a table of their own.
  if (anyOf !== undefined) return anyOf.length > 8 ? 'a code' : anyOf.map(typeText).join(' or ')
  if (type === 'array') return `${typeText(items)}[]`
  if (properties !== undefined) return `{ ${Object.entries(properties).map(([name, schema]) => `\`${name}\` ${typeText(schema)}`).join(', ')} }`
  if (patternProperties !== undefined) return 'object'
  if (maxLength === MAX_NAME_LENGTH) return 'name'
  return maxLength === undefined ? type : `${type} (${minLength} to ${maxLength})`
}

function errorsTable () {
  const emitted = emittedCodes()
  const rows = Object.entries(ERROR_CODES).filter(([code]) => emitted.has(code))
  return table(['`code`', '`message`', '`retryable`'], rows.map(([code, { message, retryable }]) => [`\`${code}\``, message, `${retryable}`]))
}

/** Codes that some file but the table itself names: the protocol has more than this version has reasons for. */
function emittedCodes () {
  const codes = new Set()
  for (const entry of readdirSync(LIB, { recursive: true }).filter((path) => path.endsWith('.ts') && path !== join('protocol', 'codes.ts'))) {
    const visit = (node) => {
      if (ts.isStringLiteral(node) && node.text in ERROR_CODES) codes.add(node.text)
      ts.forEachChild(node, visit)
    }
    visit(ts.createSourceFile(entry, readFileSync(join(LIB, entry), 'utf8'), ts.ScriptTarget.Latest))
  }
  return codes
}

function closesTable () {
  return table(['Code', 'Why', 'What a client does next'], Object.values(CLOSE_CODES).map(({ code, reason, reconnect }) => {
    const advice = WHAT_A_CLIENT_DOES[reconnect]
    if (advice === undefined) throw new Error(`nothing is written about the advice ${reconnect}`)
    return [`${code}`, reason === '' ? 'the client closed it, or nothing went wrong' : reason, advice]
  }))
}

function table (heads, rows) {
  const lines = [heads, heads.map(() => '---'), ...rows.map((cells) => cells.map((cell) => cell.replaceAll('|', '\\|')))]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
