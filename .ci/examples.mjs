// Example frames for the AsyncAPI document, out of the golden transcripts. `.ci/docs.mjs` writes lib/protocol/frame-examples.ts with them.
import { clientFrameSchemas } from '../lib/protocol/client-frames.js'
import { serverFrameSchemas } from '../lib/protocol/server-frames.js'
import { readTranscripts } from '../test/helpers/transcript-files.js'
import { readable } from '../test/helpers/transcript-placeholders.js'

/** So many of one type show what there is to see. */
const MAX_PER_TYPE = 5

const HEAD = `// Written by \`npm run docs\` from test/transcripts: not to be edited.

/** A frame as it went over the wire. */
export interface FrameExample {
  /** The transcript that it is from. */
  name: string
  /** What the transcript is about. */
  summary: string
  payload: { type: string } & Record<string, unknown>
}

/** By type: in each example other fields are filled in. A function, so that nobody pays for them who does not ask. */
`

export function makeExamples () {
  return `${HEAD}export function frameExamples (): Record<'client' | 'server', Record<string, FrameExample[]>> {
  return {
    client: ${record('client', clientFrameSchemas({ maxMessageLength: 1 }))},
    server: ${record('server', serverFrameSchemas)}
  }
}
`
}

function record (speaker, schemas) {
  const types = Object.keys(schemas).map((type) => {
    const examples = examplesOf(speaker, type, schemas[type]).map((example) => `        ${literal(example)}`)
    if (examples.length === 0) throw new Error(`no transcript has a frame ${type} of the ${speaker}`)
    return `      ${type}: [\n${examples.join(',\n')}\n      ]`
  })
  return `{\n${types.join(',\n')}\n    }`
}

/** The first of each set of fields, from the shortest transcript that has it. */
function examplesOf (speaker, type, { properties }) {
  const exampleByFields = new Map()
  const told = readTranscripts().sort((one, other) => one.transcript.lines.length - other.transcript.lines.length)
  for (const { name, transcript: { title, lines } } of told) {
    for (const { from, frame, bad } of lines) {
      if (from !== speaker || frame?.type !== type || bad === true) continue
      // Also one that says more than the schema is let through, but is nothing to learn from.
      if (Object.keys(frame).some((field) => !(field in properties))) continue
      const fields = Object.keys(frame).toSorted().join()
      if (!exampleByFields.has(fields)) exampleByFields.set(fields, { name, summary: title, payload: readable(frame) })
    }
  }
  return [...exampleByFields.values()].slice(0, MAX_PER_TYPE)
}

/** As the linter likes it. */
function literal (value) {
  if (typeof value === 'string') return `'${JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"').replaceAll('\'', '\\\'')}'`
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).map(([name, field]) => `${/^[a-z]\w*$/i.test(name) ? name : literal(name)}: ${literal(field)}`)
  return fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`
}
