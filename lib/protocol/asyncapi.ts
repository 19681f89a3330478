import type { TSchema } from '@sinclair/typebox'

import { hostPayload, type JsonSchema } from './asyncapi-schema.js'
import { clientFrameSchemas, type ClientFrameType, type FrameLimits } from './client-frames.js'
import { CLOSE_CODES, ERROR_CODES } from './codes.js'
import { frameExamples, type FrameExample } from './frame-examples.js'
import { SUBPROTOCOL } from './names.js'
import { compileCheck } from './schema-check.js'
import { serverFrameSchemas, type ServerFrameType } from './server-frames.js'

/** An AsyncAPI 3 document, as plain JSON. */
export interface AsyncApiDocument {
  asyncapi: '3.0.0'
  info: AsyncApiInfo
  defaultContentType: string
  servers: Record<string, AsyncApiServer>
  channels: Record<string, Record<string, unknown>>
  operations: Record<string, Record<string, unknown>>
  components: {
    messages: Record<string, Record<string, unknown>>
    schemas?: Record<string, Record<string, unknown>>
    securitySchemes?: Record<string, Record<string, unknown>>
  }
}

/** Who offers the channel. */
export interface AsyncApiInfo {
  title: string
  version: string
  description?: string | undefined
  termsOfService?: string | undefined
  contact?: { name?: string, url?: string, email?: string } | undefined
  license?: { name: string, url?: string } | undefined
}

/** Where the channel is. */
export interface AsyncApiServer {
  /** Host name, and port where it is not that of the protocol. */
  host: string
  protocol: 'ws' | 'wss'
  /** What a proxy puts in front of the channel's path. */
  pathname?: string | undefined
  description?: string | undefined
  variables?: Record<string, Record<string, unknown>> | undefined
}

/** What a channel is, as far as a document tells it. */
export interface DescribedChannel {
  info: AsyncApiInfo
  /** By name: letters, digits, `_` and `-`. */
  servers: Record<string, AsyncApiServer>
  securitySchemes: Record<string, Record<string, unknown>>
  /** The schemes one of which lets a client in; none for everybody. */
  security: readonly string[]
  /** The route's URL, as Fastify has it. */
  url: string
  /** The schema of its query. */
  query: object
  frames: DescribedFrames
}

/** What goes over a channel, as its document tells it. */
export interface DescribedFrames {
  messages: Record<string, Record<string, unknown>>
  schemas: Record<string, JsonSchema>
  operations: Record<string, Record<string, unknown>>
}

const CHANNEL = 'agent'

const REPLIES: Readonly<Record<ClientFrameType, readonly ServerFrameType[]>> = {
  chat: ['ack', 'stream', 'message', 'event', 'error'],
  ping: ['pong', 'error'],
  cancel: ['cancelled', 'error'],
  subscribe: ['subscribed', 'error'],
  unsubscribe: ['unsubscribed', 'error'],
  history: ['history', 'error']
}

/** What a server sends unasked. */
const SENDINGS: Readonly<Record<string, { summary: string, types: readonly ServerFrameType[] }>> = {
  ready: { summary: `The first frame, for clients that offered the subprotocol ${SUBPROTOCOL}`, types: ['ready'] },
  feed: {
    summary: 'What goes on in the sessions that a connection follows; `subscribed` where it has missed what cannot be told any more',
    types: ['subscribed', 'stream', 'message', 'event', 'error']
  },
  reconnect: { summary: 'This connection is about to be closed', types: ['reconnect'] }
}

/**
 * Describes the frames of a channel. Compiles the schemas, to leave out examples that they refuse: a matter of
 * milliseconds, to be done once.
 * @param hostTypes schemas of the host's own frame types
 */
export function describeFrames (limits: FrameLimits, hostTypes: ReadonlyMap<string, object>): DescribedFrames {
  const messages = protocolMessages(limits)
  const schemas: Record<string, JsonSchema> = {}
  const operations = protocolOperations()
  for (const { type, given, key } of keyed(hostTypes)) {
    const { payload, schema } = hostPayload(type, given, `#/components/schemas/${key}`)
    if (schema !== undefined) schemas[key] = schema
    const summary = textOf(payload['description']) ?? 'A type of the host\'s own'
    messages[`client.${key}`] = { name: type, title: type, summary, payload, ...messageExamples(hostExamples(type, given)) }
    messages[`server.${key}`] = {
      name: type, title: type, summary: `The answer to ${type}`, payload: hostAnswer(type)
    }
    operations[`receive.${key}`] = operation('receive', summary, [`client.${key}`], [`server.${key}`, 'server.error'])
  }
  return { messages, schemas, operations }
}

/** Describes a channel: what goes over its socket, and how one gets there. */
export function asyncApiDocument (described: DescribedChannel): AsyncApiDocument {
  const { info, servers, security, securitySchemes, frames: { messages, schemas, operations } } = described
  const document = {
    asyncapi: '3.0.0' as const,
    info,
    defaultContentType: 'application/json',
    servers: mapValues(servers, (server) => ({
      ...server,
      ...security.length === 0 ? {} : { security: security.map((name) => ({ $ref: `#/components/securitySchemes/${name}` })) }
    })),
    channels: { [CHANNEL]: channel(described, Object.keys(messages)) },
    operations,
    components: {
      messages,
      ...Object.keys(schemas).length === 0 ? {} : { schemas },
      ...Object.keys(securitySchemes).length === 0 ? {} : { securitySchemes }
    }
  }
  // Of TypeBox's schemas only what is JSON; and a copy, which its reader may change.
  return JSON.parse(JSON.stringify(document)) as typeof document
}

function channel ({ url, query }: DescribedChannel, messageKeys: readonly string[]): Record<string, unknown> {
  const { address, parameters } = addressOf(url)
  return {
    address,
    title: 'The agent channel',
    description: 'A WebSocket: one JSON object per text message, told apart by its `type`. A chat that carries an `id` is tracked: its frames ' +
      'have `id`, `sessionId` and `seq`. An upgrade is refused by an HTTP status. A browser, which cannot set headers, may send a bearer ' +
      `token as a subprotocol: \`${SUBPROTOCOL}, bearer, <token>\`.`,
    ...Object.keys(parameters).length === 0 ? {} : { parameters },
    messages: Object.fromEntries(messageKeys.map((key) => [key, { $ref: `#/components/messages/${key}` }])),
    bindings: { ws: { method: 'GET', query, headers: HEADERS, bindingVersion: '0.1.0' } },
    'x-close-codes': Object.values(CLOSE_CODES)
  }
}

const HEADERS = {
  type: 'object',
  properties: {
    'Sec-WebSocket-Protocol': { type: 'string', description: `\`${SUBPROTOCOL}\`, for a \`ready\` frame first; may be left out`, examples: [SUBPROTOCOL] }
  }
}

function protocolMessages (limits: FrameLimits): Record<string, Record<string, unknown>> {
  const { client, server } = frameExamples()
  const messages = { ...messagesOf('client', clientFrameSchemas(limits), client), ...messagesOf('server', serverFrameSchemas, server) }
  return { ...messages, 'server.error': { ...messages['server.error'], 'x-error-codes': ERROR_CODES } }
}

function messagesOf (
  speaker: 'client' | 'server', schemas: Record<string, TSchema>, examples: Record<string, FrameExample[]>
): Record<string, Record<string, unknown>> {
  return Object.fromEntries(Object.entries(schemas).map(([type, schema]) => {
    const check = compileCheck(schema)
    // A host's limits may be below what an example has.
    const fitting = (examples[type] ?? []).filter(({ payload }) => check(payload) === undefined)
    return [`${speaker}.${type}`, { name: type, title: type, summary: schema.description, payload: schema, ...messageExamples(fitting) }]
  }))
}

function protocolOperations (): Record<string, Record<string, unknown>> {
  const asked = Object.entries(REPLIES).map(([type, replies]) => [`receive.${type}`, operation(
    'receive', clientFrameSchemas({ maxMessageLength: 1 })[type as ClientFrameType].description, [`client.${type}`], serverKeys(replies)
  )] as const)
  const unasked = Object.entries(SENDINGS).map(([name, { summary, types }]) => [`send.${name}`, operation('send', summary, serverKeys(types))] as const)
  return Object.fromEntries([...asked, ...unasked])
}

function serverKeys (types: readonly string[]): string[] {
  return types.map((type) => `server.${type}`)
}

function operation (
  action: 'receive' | 'send', summary: string | undefined, messages: readonly string[], replies?: readonly string[]
): Record<string, unknown> {
  const channel = { $ref: `#/channels/${CHANNEL}` }
  const references = (keys: readonly string[]) => keys.map((key) => ({ $ref: `#/channels/${CHANNEL}/messages/${key}` }))
  return {
    action, channel, summary, messages: references(messages),
    ...replies === undefined ? {} : { reply: { channel, messages: references(replies) } }
  }
}

function messageExamples (examples: readonly FrameExample[]): { examples?: readonly FrameExample[] } {
  return examples.length === 0 ? {} : { examples }
}

/** What a host's schema has as examples, as frames. */
function hostExamples (type: string, schema: object): FrameExample[] {
  const given: unknown = Reflect.get(schema, 'examples')
  if (!Array.isArray(given)) return []
  const check = compileCheck(schema)
  return given.filter((example: unknown): example is object => typeof example === 'object' && example !== null && check(example) === undefined)
    .map((example, index) => ({ name: `${type}-${index + 1}`, summary: `A frame ${type}`, payload: { ...example, type } }))
}

function hostAnswer (type: string): JsonSchema {
  return {
    type: 'object',
    properties: {
      type: { type: 'string', const: type },
      id: { type: 'string', description: 'That of the frame which it answers' },
      data: { description: 'What the host\'s handler returned' }
    },
    required: ['type']
  }
}

/** Types, which may have any name, with keys that a document can have. */
function keyed (hostTypes: ReadonlyMap<string, object>): Array<{ type: string, given: object, key: string }> {
  const keys = new Set<string>()
  return [...hostTypes].map(([type, given]) => {
    const plain = type.replace(/[^\w-]/g, '_')
    let key = plain
    for (let number = 2; keys.has(key); number++) key = `${plain}_${number}`
    keys.add(key)
    return { type, given, key }
  })
}

/** A path as Fastify has it, with its parameters in braces. */
function addressOf (url: string): { address: string, parameters: Record<string, object> } {
  const parameters: Record<string, object> = {}
  const address = url.replace(/::|:(\w+)(?:\([^)]*\))?\??|\*/g, (found, name = 'rest') => {
    if (found === '::') return ':'
    parameters[String(name)] = {}
    return `{${String(name)}}`
  })
  return { address, parameters }
}

function textOf (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function mapValues<Value, Result> (record: Record<string, Value>, map: (value: Value) => Result): Record<string, Result> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]))
}
