import { Parser } from '@asyncapi/parser'
import swagger from '@fastify/swagger'
import { Ajv } from 'ajv'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'

import { wsChannel, type AsyncApiDocument, type WsChannelOptions } from '../../lib/index.js'

/** Error and warning. */
const WORSE_THAN_INFO = [0, 1]

export async function host (t: Test, options: WsChannelOptions = {}, define: (channel: FastifyInstance['channel']) => void = () => {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(wsChannel, options)
  define(app.channel)
  await app.ready()
  return app
}

export async function openApiHost (t: Test, openapi: object, options: WsChannelOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
  let scope: FastifyInstance = app
  await app.register(async (api) => {
    scope = api
    await api.register(wsChannel, options)
  }, { prefix: '/api/v1' })
  await app.ready()
  return scope
}

/** No error, no warning; and each example is as its message says, which the parser does not look at. */
export async function isValid (t: Test, document: AsyncApiDocument): Promise<void> {
  const diagnostics = await new Parser().validate(JSON.stringify(document))
  t.strictSame(diagnostics.filter(({ severity }) => WORSE_THAN_INFO.includes(severity)).map(({ message, path }) => `${path.join('.')}: ${message}`), [])
  for (const { key, payload, example } of examplesOf(document)) t.equal(check(document, payload, example), undefined, `${key}: ${JSON.stringify(example)}`)
}

/** By another validator than ours, and with the references as they are in the document. */
export function check (document: AsyncApiDocument, payload: object, value: unknown): string | undefined {
  const ajv = new Ajv({ strict: false })
  // Its payloads refer to it.
  const validate = ajv.compile({ components: document.components, allOf: [payload] })
  return validate(value) ? undefined : ajv.errorsText(validate.errors)
}

export function examplesOf ({ components }: AsyncApiDocument): Array<{ key: string, payload: object, example: unknown }> {
  return Object.keys(components.messages).flatMap((key) => {
    const { payload, examples = [] } = messageOf({ components }, key)
    return examples.map((example) => ({ key, payload, example: example.payload }))
  })
}

export function messageOf ({ components }: Pick<AsyncApiDocument, 'components'>, key: string): Message {
  const message = components.messages[key]
  if (message === undefined) throw new Error(`no message ${key}`)
  return message as unknown as Message
}

interface Message {
  summary: string
  payload: Record<string, unknown>
  examples?: Array<{ name: string, summary: string, payload: Record<string, unknown> }>
}
