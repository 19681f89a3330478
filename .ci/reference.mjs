// The protocol reference: from the schemas, the tables of codes, and the golden transcripts. `.ci/docs.mjs` writes it.
import { DEFAULT_LIMITS } from '../lib/options.js'
import { clientFrameSchemas } from '../lib/protocol/client-frames.js'
import { ERROR_CODES } from '../lib/protocol/codes.js'
import { serverFrameSchemas } from '../lib/protocol/server-frames.js'
import { CHAPTERS } from '../test/helpers/transcript.js'
import { readTranscripts } from '../test/helpers/transcript-files.js'
import { readable } from '../test/helpers/transcript-placeholders.js'

const HEAD = `# The protocol, frame by frame

<!-- Written by \`npm run docs\` from the schemas beside this file and from test/transcripts: not to be edited. -->

One JSON object per text message, told apart by its \`type\`. A *name* is a string of 1 to 128 UTF-16 code units without control
characters. Clients ignore fields that they do not know; so does the server.

`

const HOST_ASKS = `### Types of the host's own

What the host's schema says, and \`id?\`, a name that is given back in the answer. \`ready\` names these types.
`

const HOST_ANSWERS = `### Types of the host's own

The answer to a frame of such a type: the same \`type\`, the same \`id?\`, and as \`data?\` what the host's handler returned.
`

/** How a behaviour is written down below. */
const LEGEND = `What a client sends stands behind \`→\`, what the server sends behind \`←\`; in front is which connection, where there are
several. Lines with \`·\` say what else happens. Each of these is played against the server by a test, and is byte for byte what
goes over the wire, but for what differs from run to run: \`epoch-1\`, \`turn-1\` and their like stand for random strings.
`

/** How `.ci/docs.mjs` writes tables, types, and the table of close codes, is given. */
export function makeReference ({ table, typeText, closesTable }) {
  const frames = (schemas) => Object.entries(schemas).map(([type, schema]) => frameSection(type, schema, { table, typeText })).join('\n')
  const errorRows = Object.entries(ERROR_CODES).map(([code, row]) => [`\`${code}\``, row.message, `${row.retryable}`, `${row.httpStatus}`])
  return `${HEAD}## What clients send

${frames(clientFrameSchemas(DEFAULT_LIMITS))}
${HOST_ASKS}
## What the server sends

${frames(serverFrameSchemas)}
${HOST_ANSWERS}
## Error codes

A refusal that is retryable may be sent again as it is; a turn that ended so may be asked for again under a new \`id\`, and the
first may have had effects.

${table(['`code`', '`message`', '`retryable`', 'HTTP'], errorRows)}

## Close codes

${closesTable()}

## Behaviours

${LEGEND}
${behaviours()}`
}

function frameSection (type, { description, properties, required = [] }, { table, typeText }) {
  const fields = Object.entries(properties).filter(([field]) => field !== 'type')
  const rows = fields.map(([field, schema]) => [
    `\`${field}${required.includes(field) ? '' : '?'}\``, `${typeText(schema)}${byDefault(schema)}`, schema.description ?? ''
  ])
  return `### \`${type}\`

${description}.

${rows.length === 0 ? 'No fields.\n' : `${table(['Field', 'Type', 'What it is'], rows)}\n`}`
}

function byDefault ({ default: value }) {
  return value === undefined ? '' : `, by default \`${value}\``
}

/** The shortest first: they are the simplest. */
function behaviours () {
  const transcripts = readTranscripts().map(({ transcript }) => transcript).sort((one, other) => one.lines.length - other.lines.length)
  return CHAPTERS.map((chapter) => {
    const told = transcripts.filter((transcript) => transcript.chapter === chapter).map(behaviour)
    return `### ${chapter}\n\n${told.join('\n')}`
  }).join('\n')
}

function behaviour ({ title, about, lines, ...setup }) {
  const isOneTurn = new Set(lines.filter(({ to }) => to !== undefined).map(({ to }) => to)).size === 1
  return `#### ${title}

${about}${setupText(setup)}

\`\`\`text
${lines.map((line) => lineText(line, isOneTurn)).join('\n')}
\`\`\`
`
}

function setupText ({ options = {}, journal = {}, agents, types = {}, forbids }) {
  const given = [
    ...Object.entries({ ...options, ...journal }).map(([option, value]) => `\`${option}\` is ${JSON.stringify(value)}`),
    ...agents === undefined ? [] : [`there is no agent but ${agents.map((id) => `\`${id}\``).join(', ')}`],
    ...Object.keys(types).map((type) => `\`${type}\` is a type of the host's own`),
    ...forbids === undefined ? [] : [`the host does not allow ${forbids.map((type) => `\`${type}\``).join(', ')}`]
  ]
  return given.length === 0 ? '' : `\nHere ${given.join('; ')}.`
}

function lineText (line, isOneTurn) {
  const at = line.at === undefined ? '' : `${line.at} `
  switch (line.from) {
    case 'client': return `${at}→ ${saidText(line)}`
    case 'server': return `${at}← ${saidText(line)}`
    case 'agent': return `· the agent${isOneTurn ? '' : `, to ${quoted(line.to)},`} ${agentText(line)}`
    case 'host': return `· the host ${hostText(line)}`
    case 'clock': return `· ${line.advanceMs} ms pass`
    case 'network': return `· ${networkText(line)}`
    default: throw new Error(`nothing is written about ${line.from}`)
  }
}

function saidText ({ frame, text, binary, closes }) {
  if (closes !== undefined) return `closed with ${closes.code}${closes.reason === '' ? '' : ` (${closes.reason})`}`
  if (binary !== undefined) return `(binary) ${binary}`
  return text ?? JSON.stringify(readable(frame))
}

function agentText ({ yields, returns, throws, tells, ignoresStop, stopped }) {
  if (yields !== undefined) return `yields ${yields.map(quoted).join(', ')}`
  if (returns !== undefined) return `returns ${quoted(returns)}`
  if (throws !== undefined) return `throws ${quoted(throws)}`
  if (tells !== undefined) return `throws an error for the client, ${quoted(tells)}`
  if (stopped) return 'is told to stop'
  return ignoresStop ? 'will not listen' : 'is done'
}

function hostText ({ handles, returns, throws, refuses, publishes, says, drains }) {
  if (drains) return 'goes down'
  if (publishes !== undefined) return `publishes ${quoted(publishes.name)} in ${quoted(publishes.sessionId)}: ${quoted(publishes.data)}`
  if (says !== undefined) return `says ${quoted(says.message)} in ${quoted(says.sessionId)}`
  if (refuses !== undefined) return `refuses ${quoted(handles)} with ${refuses}`
  if (throws !== undefined) return `fails over ${quoted(handles)}: ${quoted(throws)}`
  return returns === undefined ? `has handled ${quoted(handles)}` : `answers ${quoted(handles)} with ${quoted(returns)}`
}

function networkText ({ at, open, refused, cut }) {
  const who = at ?? 'the client'
  if (cut) return `${who} is cut off`
  if (refused !== undefined) return `${who} is refused with HTTP ${refused}`
  const { query, owner, protocols } = open
  const how = [
    ...query === undefined ? [] : [`with ${query}`],
    ...owner === undefined ? [] : [`as ${owner}`],
    ...protocols === undefined ? [] : [`offering ${protocols.join(', ')}`]
  ]
  return [`${who} connects`, ...how].join(' ')
}

function quoted (value) {
  return JSON.stringify(readable(value))
}
