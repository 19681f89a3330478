import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import t from 'tap'

import { wsChannel } from '../../lib/index.js'
import { isValid, openApiHost } from './asyncapi-document.js'

// The parser compiles its schemas, which takes a while.
t.setTimeout(120_000)

t.test('the host\'s OpenAPI document says who and where it is, and how one gets in', async (t) => {
  const app = await openApiHost(t, {
    info: {
      title: 'Tea shop', version: '2.1.0', description: 'Sells tea', summary: 'Tea',
      contact: { name: 'Ada' }, license: { name: 'MIT', url: 'https://example.com/license', identifier: 'MIT' }
    },
    servers: [
      { url: 'https://tea.example.com/api', description: 'Live' },
      { url: 'http://localhost:{port}/shop/', variables: { port: { default: '9527', enum: ['9527', '9528'] } } },
      { url: '/api' }
    ],
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        cookie: { type: 'apiKey', in: 'cookie', name: 'session' },
        certificate: { type: 'mutualTLS' },
        login: { type: 'openIdConnect', openIdConnectUrl: 'https://login.example.com/.well-known/openid-configuration' },
        oauth: { type: 'oauth2', flows: { clientCredentials: { tokenUrl: 'https://login.example.com/token', scopes: { chat: 'May chat' } } } },
        unused: { type: 'http', scheme: 'basic' }
      }
    },
    security: [{ bearer: [] }, { cookie: [] }, { certificate: [] }, { login: ['chat'] }, { oauth: ['chat'] }]
  })
  const document = app.channel.asyncapi()
  await isValid(t, document)
  t.strictSame(document.info, {
    title: 'Tea shop', version: '2.1.0', description: 'Sells tea', contact: { name: 'Ada' },
    license: { name: 'MIT', url: 'https://example.com/license' }
  })
  const security = ['bearer', 'cookie', 'certificate', 'login', 'oauth'].map((name) => ({ $ref: `#/components/securitySchemes/${name}` }))
  t.strictSame(document.servers, {
    server1: { host: 'tea.example.com', protocol: 'wss', description: 'Live', security },
    server2: {
      host: 'localhost:{port}', protocol: 'ws', pathname: '/shop', variables: { port: { default: '9527', enum: ['9527', '9528'] } }, security
    }
  })
  t.strictSame(document.components.securitySchemes, {
    bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    cookie: { type: 'httpApiKey', in: 'cookie', name: 'session' },
    certificate: { type: 'X509' },
    login: { type: 'openIdConnect', openIdConnectUrl: 'https://login.example.com/.well-known/openid-configuration', scopes: ['chat'] },
    oauth: {
      type: 'oauth2',
      flows: { clientCredentials: { tokenUrl: 'https://login.example.com/token', availableScopes: { chat: 'May chat' } } },
      scopes: ['chat']
    }
  })
})

t.test('the route may ask for something else than the rest of the host, or for nothing', async (t) => {
  const openapi = {
    components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' }, key: { type: 'apiKey', in: 'query', name: 'key' } } },
    security: [{ bearer: [] }]
  }
  const other = await openApiHost(t, openapi, { routeOptions: { schema: { security: [{ key: [] }] } } })
  t.strictSame(Object.keys(other.channel.asyncapi().components.securitySchemes ?? {}), ['key'])
  await isValid(t, other.channel.asyncapi())
  const none = await openApiHost(t, openapi, { routeOptions: { schema: { security: [{}, { key: [] }] } } })
  t.notOk('securitySchemes' in none.channel.asyncapi().components)
  t.notOk('security' in (none.channel.asyncapi().servers['main'] ?? {}))
})

t.test('what the option says comes first', async (t) => {
  const asyncapi = {
    info: { title: 'Chat', version: '3' },
    servers: { live: { host: 'chat.example.com', protocol: 'wss' as const } },
    securitySchemes: { ticket: { type: 'httpApiKey', in: 'query', name: 'ticket' } }
  }
  const app = await openApiHost(t, { info: { title: 'Tea shop', version: '1' }, servers: [{ url: 'https://tea.example.com' }] }, { asyncapi })
  const document = app.channel.asyncapi()
  await isValid(t, document)
  t.strictSame(document.info, asyncapi.info)
  t.strictSame(document.servers, { live: { ...asyncapi.servers.live, security: [{ $ref: '#/components/securitySchemes/ticket' }] } })
  t.strictSame(document.components.securitySchemes, asyncapi.securitySchemes)
})

t.test('an OpenAPI document of version 2 says nothing', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { swagger: { info: { title: 'Old', version: '1' } } })
  app.register(wsChannel)
  await app.ready()
  t.equal(app.channel.asyncapi().info.title, 'Agent channel')
})

t.test('one that is incomplete says what it can', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const swagger = () => ({
    openapi: '3.0.3', info: { title: 'Half', license: {} }, servers: [null], security: [{ missing: [] }, { oauth: 'chat' }],
    components: { securitySchemes: { oauth: { type: 'oauth2' } } }
  })
  app.decorate('swagger', swagger as never)
  app.register(wsChannel)
  await app.ready()
  t.match(app.channel.asyncapi(), {
    info: { title: 'Half', version: '1.0.0' },
    servers: { main: { host: 'localhost', security: [{ $ref: '#/components/securitySchemes/oauth' }] } },
    components: { securitySchemes: { oauth: { type: 'oauth2', flows: {}, scopes: [] } } }
  })
})
