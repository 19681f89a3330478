import type { FastifyInstance } from 'fastify'

import type { AsyncApiInfo, AsyncApiServer, DescribedChannel } from '../protocol/asyncapi.js'

/** What the AsyncAPI document says of the host; what is left out is taken from its OpenAPI document, where it has one. */
export interface AsyncApiSettings {
  /** @default that of the host's OpenAPI document */
  info?: AsyncApiInfo | undefined
  /** By name. @default those of the host's OpenAPI document that name a host, else how the server is reached */
  servers?: Record<string, AsyncApiServer> | undefined
  /** By name; one of them lets a client in. @default those that the host's OpenAPI document asks for */
  securitySchemes?: Record<string, Record<string, unknown>> | undefined
}

export const ASYNCAPI_SETTINGS: ReadonlyArray<keyof AsyncApiSettings> = ['info', 'servers', 'securitySchemes']

export type HostFacts = Pick<DescribedChannel, 'info' | 'servers' | 'security' | 'securitySchemes'>

const DEFAULT_INFO: AsyncApiInfo = {
  title: 'Agent channel',
  version: '1.0.0',
  description: 'A WebSocket to an agent: chats, answers that are streamed, and sessions that outlive their connections'
}

const INFO_FIELDS = ['title', 'version', 'description', 'termsOfService', 'contact'] as const
const LICENSE_FIELDS = ['name', 'url'] as const

export interface ChannelFacts {
  /** The channel's URL. */
  url: string
  /** The host and port, should nothing else say where the server is. */
  reachedAt: AsyncApiServer
  /** What the channel's route asks for, as OpenAPI has it. */
  routeSecurity: unknown
}

/** What the host has said of itself. */
export function hostFacts (
  fastify: FastifyInstance, settings: AsyncApiSettings, { url, reachedAt, routeSecurity }: ChannelFacts
): HostFacts {
  const openApi = openApiOf(fastify)
  const servers = settings.servers ?? serversOf(openApi, url)
  const { security, securitySchemes } = settings.securitySchemes === undefined
    ? securityOf(openApi, routeSecurity)
    : { security: Object.keys(settings.securitySchemes), securitySchemes: settings.securitySchemes }
  return {
    info: settings.info ?? infoOf(openApi),
    servers: Object.keys(servers).length === 0 ? { main: reachedAt } : servers,
    security,
    securitySchemes
  }
}

/** Where the server listens, should nobody have said how it is reached. */
export function listeningAt (fastify: Pick<FastifyInstance, 'addresses' | 'initialConfig'>): AsyncApiServer {
  const protocol = fastify.initialConfig.https ? 'wss' : 'ws'
  const address = fastify.addresses().at(-1)
  // A Unix socket has a path, and no host.
  if (address === undefined || typeof address === 'string') return { host: 'localhost', protocol }
  return { host: `${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`, protocol }
}

/** The document of `@fastify/swagger`, if it is one of OpenAPI 3. */
function openApiOf (fastify: FastifyInstance): Fields {
  const make: unknown = Reflect.get(fastify, 'swagger')
  const made: unknown = typeof make === 'function' ? make.call(fastify) : undefined
  return isFields(made) && typeof made['openapi'] === 'string' ? made : {}
}

function infoOf ({ info }: Fields): AsyncApiInfo {
  const given = fieldsOf(info)
  const license = picked(fieldsOf(given['license']), LICENSE_FIELDS)
  return {
    ...DEFAULT_INFO,
    ...picked(given, INFO_FIELDS),
    ...typeof license['name'] === 'string' ? { license: license as { name: string, url?: string } } : {}
  }
}

/** Those that name a host: of others nobody knows where they are. */
function serversOf ({ servers }: Fields, url: string): Record<string, AsyncApiServer> {
  const found: Record<string, AsyncApiServer> = {}
  for (const given of listOf(servers)) {
    const { url: address, description, variables } = fieldsOf(given)
    const [, secure, host, path = ''] = /^(?:http|ws)(s?):\/\/([^/]+)(.*)$/.exec(String(address)) ?? []
    if (host === undefined) continue
    // What the routes have in front already is no proxy's.
    const pathname = path.replace(/\/+$/, '')
    found[`server${Object.keys(found).length + 1}`] = {
      host,
      protocol: secure === 's' ? 'wss' : 'ws',
      ...pathname === '' || url.startsWith(`${pathname}/`) ? {} : { pathname },
      ...typeof description === 'string' ? { description } : {},
      ...isFields(variables) ? { variables: variables as Record<string, Fields> } : {}
    }
  }
  return found
}

function securityOf (openApi: Fields, routeSecurity: unknown): Pick<HostFacts, 'security' | 'securitySchemes'> {
  const schemes = fieldsOf(fieldsOf(openApi['components'])['securitySchemes'])
  const requirements = listOf(routeSecurity ?? openApi['security']).map(fieldsOf)
  // One that asks for nothing lets everybody in.
  if (requirements.some((requirement) => Object.keys(requirement).length === 0)) return { security: [], securitySchemes: {} }
  const securitySchemes: Record<string, Fields> = {}
  for (const [name, scopes] of requirements.flatMap((requirement) => Object.entries(requirement))) {
    const scheme = schemes[name]
    if (isFields(scheme)) securitySchemes[name] = schemeOf(scheme, listOf(scopes))
  }
  return { security: Object.keys(securitySchemes), securitySchemes }
}

/** A security scheme of OpenAPI, as AsyncAPI has it. */
function schemeOf (scheme: Fields, scopes: unknown[]): Fields {
  switch (scheme['type']) {
    case 'apiKey': return { ...scheme, type: 'httpApiKey' }
    case 'mutualTLS': return { ...scheme, type: 'X509' }
    case 'oauth2': return { ...scheme, flows: Object.fromEntries(Object.entries(fieldsOf(scheme['flows'])).map(flowOf)), scopes }
    case 'openIdConnect': return { ...scheme, scopes }
    default: return scheme
  }
}

function flowOf ([name, flow]: [string, unknown]): [string, Fields] {
  const { scopes, ...rest } = fieldsOf(flow)
  return [name, { ...rest, availableScopes: scopes }]
}

function picked (fields: Fields, names: readonly string[]): Fields {
  return Object.fromEntries(names.flatMap((name) => fields[name] === undefined ? [] : [[name, fields[name]]]))
}

function fieldsOf (value: unknown): Fields {
  return isFields(value) ? value : {}
}

function listOf (value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

function isFields (value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

type Fields = Record<string, unknown>
