import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const closed = { additionalProperties: false }
const at = Type.Optional(Type.String({ minLength: 1, description: 'Which connection, where there are several' }))
const Frame = Type.Record(Type.String(), Type.Unknown())
const Yes = Type.Literal(true)

/** What behaviours are told under, in the order of the reference. */
export const CHAPTERS = [
  'Connections', 'Plain chats', 'Tracked chats', 'Busy sessions', 'Once', 'Subscriptions', 'History', 'Cancel', 'Disconnects',
  'The host\'s own', 'Refusals', 'Drain'
] as const

const Header = Type.Object({
  chapter: Type.Union(CHAPTERS.map((chapter) => Type.Literal(chapter))),
  title: Type.String({ minLength: 1 }),
  about: Type.String({ minLength: 1 }),
  options: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: 'Options of the channel' })),
  journal: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: 'Options of its journal' })),
  agents: Type.Optional(Type.Array(Type.String(), { description: 'The agents that there are; without it whichever is named' })),
  types: Type.Optional(Type.Record(Type.String(), Frame, { description: 'Schemas of host-defined frames, by type' })),
  forbids: Type.Optional(Type.Array(Type.String(), { description: 'Types of frames that the host does not allow' }))
}, closed)

const ClientLine = Type.Union([
  Type.Object({ from: Type.Literal('client'), at, frame: Frame, bad: Type.Optional(Yes) }, closed),
  Type.Object({ from: Type.Literal('client'), at, text: Type.String() }, closed),
  Type.Object({ from: Type.Literal('client'), at, binary: Type.String() }, closed)
])

const ServerLine = Type.Union([
  Type.Object({ from: Type.Literal('server'), at, frame: Frame }, closed),
  Type.Object({
    from: Type.Literal('server'), at, closes: Type.Object({ code: Type.Integer(), reason: Type.String() }, closed)
  }, closed)
])

/** What the agent does in the turn of the chat that says `to`. */
const AgentLine = Type.Object({
  from: Type.Literal('agent'),
  to: Type.String(),
  yields: Type.Optional(Type.Array(Type.Unknown(), { minItems: 1 })),
  returns: Type.Optional(Type.String()),
  ends: Type.Optional(Yes),
  throws: Type.Optional(Type.String()),
  tells: Type.Optional(Type.String({ description: 'The text of an error that is meant for the client' })),
  ignoresStop: Type.Optional(Yes),
  stopped: Type.Optional(Yes)
}, closed)

const SessionRef = { agentId: Type.Optional(Type.String()), sessionId: Type.String() }

/** What the host's own code does. `handles` names a type of its own, whose oldest frame it answers. */
const HostLine = Type.Object({
  from: Type.Literal('host'),
  handles: Type.Optional(Type.String()),
  returns: Type.Optional(Type.Unknown()),
  throws: Type.Optional(Type.String()),
  refuses: Type.Optional(Type.String()),
  publishes: Type.Optional(Type.Object({ ...SessionRef, name: Type.String(), data: Type.Unknown() }, closed)),
  says: Type.Optional(Type.Object({ ...SessionRef, message: Type.String(), id: Type.Optional(Type.String()) }, closed)),
  drains: Type.Optional(Yes)
}, { ...closed, minProperties: 2 })

const NetworkLine = Type.Union([
  Type.Object({
    from: Type.Literal('network'),
    at,
    open: Type.Object({
      query: Type.Optional(Type.String()),
      owner: Type.Optional(Type.String()),
      protocols: Type.Optional(Type.Array(Type.String()))
    }, closed),
    refused: Type.Optional(Type.Integer({ description: 'The HTTP status with which the upgrade is refused' }))
  }, closed),
  Type.Object({ from: Type.Literal('network'), at, cut: Yes }, closed)
])

const ClockLine = Type.Object({ from: Type.Literal('clock'), advanceMs: Type.Integer({ minimum: 1 }) }, closed)

const LINES = {
  client: ClientLine, server: ServerLine, agent: AgentLine, host: HostLine, network: NetworkLine, clock: ClockLine
}

export type Header = Static<typeof Header>
export type ClientLine = Static<typeof ClientLine>
export type ServerLine = Static<typeof ServerLine>
export type AgentLine = Static<typeof AgentLine>
export type HostLine = Static<typeof HostLine>
export type NetworkLine = Static<typeof NetworkLine>
export type ClockLine = Static<typeof ClockLine>
export type TranscriptLine = ClientLine | ServerLine | AgentLine | HostLine | NetworkLine | ClockLine

/** One behaviour of the protocol: what is said and done, in its order. */
export interface Transcript extends Header {
  lines: TranscriptLine[]
}

/** The connection of lines that name none. */
export const ONLY_CONNECTION = 'client'

/**
 * Reads a transcript: a head, then one line for everything that happens.
 * @throws Error that names the line which is none
 */
export function readTranscript (jsonl: string): Transcript {
  const [head, ...lines] = jsonl.trimEnd().split('\n')
  return { ...readLine(Header, head ?? '', 1), lines: lines.map((line, index) => readEvent(line, index + 2)) }
}

/** Where in its file a line stands: from 1, behind the head. */
export function lineNumber (index: number): number {
  return index + 2
}

function readEvent (text: string, number: number): TranscriptLine {
  const { from } = readLine(Type.Object({ from: Type.String() }), text, number)
  if (!isSpeaker(from)) throw new Error(`line ${number}: nobody is called ${from}`)
  return readLine(LINES[from], text, number)
}

function readLine<Schema extends Parameters<typeof Value.Check>[0]> (schema: Schema, text: string, number: number): Static<Schema> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error(`line ${number} is no JSON: ${text}`)
  }
  // What is written in another way than JSON.stringify does would be compared with bytes that nobody sends.
  if (JSON.stringify(value) !== text) throw new Error(`line ${number} is not written as JSON.stringify does: ${text}`)
  if (Value.Check(schema, value)) return value
  const fault = Value.Errors(schema, value).First()
  throw new Error(`line ${number}: ${fault?.path ?? ''} ${fault?.message ?? ''}, in ${text}`)
}

function isSpeaker (from: string): from is keyof typeof LINES {
  return Object.hasOwn(LINES, from)
}
