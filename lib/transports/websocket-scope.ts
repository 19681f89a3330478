import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'

import websocket, { type WebsocketPluginOptions } from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'

import {
  FST_WS_CHANNEL_HOST_MAX_PAYLOAD, FST_WS_CHANNEL_HTTP2_ONLY, FST_WS_CHANNEL_REQUEST_WS_TAKEN
} from '../errors.js'
import { SUBPROTOCOL } from '../protocol/names.js'
import { readSubprotocolOffer } from './subprotocol.js'
import { joinUpgrades, pathPattern } from './upgrade-listener.js'

type WebsocketServer = FastifyInstance['websocketServer']

export interface WebsocketScopeOptions {
  /** Within the given scope, as a route has it. */
  path: string
  /** In bytes. */
  maxPayload: number
}

/**
 * Gives `addRoute` a scope in which `@fastify/websocket` acts: the given one where an ancestor has it, else a private
 * one inside. Private, because the host may register its own later or beside, and two in one scope clash.
 * @returns the `maxPayload` in force: a smaller one of the host's wins
 * @throws at register time where the channel could not work
 */
export function addWebsocketScope (
  fastify: FastifyInstance, { path, maxPayload }: WebsocketScopeOptions, addRoute: (scope: FastifyInstance) => void
): number {
  refuseHttp2Only(fastify)
  const isHosted = fastify.hasRequestDecorator('ws')
  const router = isHosted ? undefined : new EventEmitter()
  joinWhileOpen(fastify, path, router)
  if (router === undefined) {
    const hostMaxPayload = hostLimit(fastify, maxPayload)
    echoSubprotocol(fastify.websocketServer)
    addRoute(fastify)
    return hostMaxPayload
  }
  fastify.register(async (scope) => {
    await scope.register(websocket, { options: privateOptions(router, maxPayload), preClose: (done) => { done() } })
    addRoute(scope)
  })
  return maxPayload
}

/** Upgrades to the channel, so that what is done to the handshake of one is done to no other route of the host. */
const channelUpgrades = new WeakSet<IncomingMessage>()

export function markChannelUpgrade (request: IncomingMessage): void {
  channelUpgrades.add(request)
}

function refuseHttp2Only ({ initialConfig }: FastifyInstance): void {
  const { http2, https } = initialConfig
  if (http2 !== true) return
  if (typeof https !== 'object' || !https.allowHTTP1) throw new FST_WS_CHANNEL_HTTP2_ONLY()
}

function joinWhileOpen (fastify: FastifyInstance, path: string, router: EventEmitter | undefined): void {
  // Fastify takes the option in two places.
  const { routerOptions, caseSensitive: topLevel = true } = fastify.initialConfig
  const { caseSensitive = topLevel } = routerOptions ?? {}
  let leave: (() => void) | undefined
  fastify.addHook('onReady', (done) => {
    leave = joinUpgrades(fastify.server, { path: pathPattern(`${fastify.prefix}/${path}`, { caseSensitive }), router })
    done()
  })
  fastify.addHook('onClose', (_instance, done) => {
    leave?.()
    done()
  })
}

function privateOptions (router: EventEmitter, maxPayload: number): NonNullable<WebsocketPluginOptions['options']> {
  return {
    // Of a server only `on` and `emit` are used; the real one is listened to once for all channels.
    server: router as Server,
    maxPayload,
    perMessageDeflate: false,
    // `ws` alone takes the first on offer, whatever it is.
    handleProtocols: (protocols) => protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false
  }
}

function hostLimit (fastify: FastifyInstance, maxPayload: number): number {
  if (!fastify.hasDecorator('websocketServer')) throw new FST_WS_CHANNEL_REQUEST_WS_TAKEN()
  const { maxPayload: hostMaxPayload = 0 } = fastify.websocketServer.options
  // To `ws` 0 is no limit.
  if (hostMaxPayload === 0 || hostMaxPayload > maxPayload) throw new FST_WS_CHANNEL_HOST_MAX_PAYLOAD(hostMaxPayload, maxPayload)
  return hostMaxPayload
}

function isOffered ({ headers }: IncomingMessage): boolean {
  return readSubprotocolOffer(headers['sec-websocket-protocol']).offered
}

const echoing = new WeakSet<WebsocketServer>()

/** Where the host's `handleProtocols` declines ours, or there is none to ask, a browser that offered it would hang up. */
function echoSubprotocol (server: WebsocketServer): void {
  if (echoing.has(server)) return
  echoing.add(server)
  server.on('headers', (lines: string[], request: IncomingMessage) => {
    if (!channelUpgrades.has(request) || !isOffered(request)) return
    const chosen = lines.findIndex((line) => line.toLowerCase().startsWith('sec-websocket-protocol:'))
    const line = `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`
    if (chosen === -1) lines.push(line)
    else lines[chosen] = line
  })
}
