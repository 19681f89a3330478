import createError from '@fastify/error'

/** HTTP/2 has no `Upgrade`: nobody could ever open the channel. */
export const FST_WS_CHANNEL_HTTP2_ONLY = createError<[]>(
  'FST_WS_CHANNEL_HTTP2_ONLY',
  'A WebSocket needs HTTP/1.1, which this server does not speak: give Fastify `http2: true` together with ' +
  '`https: { allowHTTP1: true, key, cert }`, or leave `http2` out'
)

/** The host's own `@fastify/websocket` is the one that limits messages under its scope. */
export const FST_WS_CHANNEL_HOST_MAX_PAYLOAD = createError<[hostMaxPayload: number, maxPayload: number]>(
  'FST_WS_CHANNEL_HOST_MAX_PAYLOAD',
  '@fastify/websocket is registered above the channel and takes messages of %d bytes, the channel\'s `maxPayload` is %d: ' +
  'register it with `{ options: { maxPayload } }` of at most the channel\'s, or raise the channel\'s `maxPayload`'
)

/** `@fastify/websocket` decorates the request with `ws`, and could not. */
export const FST_WS_CHANNEL_REQUEST_WS_TAKEN = createError<[]>(
  'FST_WS_CHANNEL_REQUEST_WS_TAKEN',
  'The request decorator `ws` belongs to @fastify/websocket and is something else in this scope: rename yours, ' +
  'or register the channel in a scope without it'
)

/** The channel decides what its route is; the host adds hooks and documentation to it. */
export const FST_WS_CHANNEL_ROUTE_OPTION = createError<[option: string, allowed: string]>(
  'FST_WS_CHANNEL_ROUTE_OPTION',
  '`routeOptions.%s` cannot be set on a route of the channel; it takes %s'
)

/** An option that does not exist, or cannot be what it is. */
export const FST_WS_CHANNEL_OPTION = createError<[option: string, advice: string]>(
  'FST_WS_CHANNEL_OPTION',
  'The option `%s` of the channel: %s'
)

/** `app.channel` is one channel. */
export const FST_WS_CHANNEL_SECOND = createError<[]>(
  'FST_WS_CHANNEL_SECOND',
  'This scope has a channel already: register each further one in a scope of its own, ' +
  '`app.register(async (scope) => { scope.register(wsChannel) }, { prefix: \'/other\' })`'
)

/** Two values for one thing, and no telling which is meant. */
export const FST_WS_CHANNEL_INJECTED_TWICE = createError<[name: string]>(
  'FST_WS_CHANNEL_INJECTED_TWICE',
  '`%s` is given as an option and as a decorator of the same scope: leave one of them out'
)

/** What was injected cannot be what it is for. */
export const FST_WS_CHANNEL_INJECTED = createError<[name: string, advice: string]>(
  'FST_WS_CHANNEL_INJECTED',
  'The channel cannot use its `%s`: %s'
)

/** The channel exists from `register` on, and works from `ready` on. */
export const FST_WS_CHANNEL_NOT_READY = createError<[]>(
  'FST_WS_CHANNEL_NOT_READY',
  'The channel is not ready: await `app.ready()` or `app.listen()` first'
)

/** A frame type of the host's that cannot be defined. */
export const FST_WS_CHANNEL_DEFINE = createError<[type: string, advice: string]>(
  'FST_WS_CHANNEL_DEFINE',
  'The frame type `%s` cannot be defined: %s'
)

/** The page would find nothing to talk to. */
export const FST_WS_CHANNEL_PLAYGROUND = createError<[page: string, channel: string]>(
  'FST_WS_CHANNEL_PLAYGROUND',
  'The playground at %s finds no channel at %s: register `wsChannel` with the same prefix, or say by the option `channel` where it is'
)
