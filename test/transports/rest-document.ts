import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'

const INFO = { title: 'A host', version: '1.0.0' }
const SCHEMES = { token: { type: 'http', scheme: 'bearer' } } as const

/** The documents of an app, made by the plugin that most hosts use. Register it before the routes. */
export function addDocument (app: FastifyInstance, openapi: '3.0.3' | '3.1.0' = '3.0.3'): void {
  app.register(swagger, { openapi: { openapi, info: INFO, components: { securitySchemes: SCHEMES } } })
}

/** Its document as a client would get it. */
export function documentOf (app: FastifyInstance): OpenApiDocument {
  return JSON.parse(JSON.stringify(app.swagger())) as OpenApiDocument
}

// Validators take any object, which an interface is not.
export type OpenApiDocument = {
  openapi: string
  paths: Record<string, Record<string, Operation>>
}

export interface Operation {
  operationId?: string
  summary?: string
  tags?: string[]
  security?: object[]
  externalDocs?: { url: string }
  parameters?: Array<{ name: string, in: string, required?: boolean }>
  responses: Record<string, { description: string, content?: Record<string, { schema: object }> }>
}
