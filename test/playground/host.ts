import type { Socket } from 'node:net'

import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'

import { channelPlayground, type ChannelPlaygroundOptions, type Executor, type Part } from '../../lib/index.js'
import { serve, type ServeOptions } from '../helpers/app.js'

/** What the agent says to a message: parts, and promises that it waits for in between. */
export type Script = ReadonlyArray<Part | Promise<unknown>>

export interface PlaygroundHost {
  app: FastifyInstance
  /** Of the page. */
  url: string
  /** What the agent will say to a message; it says it in one turn after another. */
  scripts: Map<string, Script>
  /** Cuts all connections, as a network does. */
  cutAll: () => void
}

/** A server with the page, and an agent that says what the test wants, when it wants it. */
export async function host (
  t: Test, { playground = {}, ...options }: ServeOptions & { playground?: ChannelPlaygroundOptions } = {}
): Promise<PlaygroundHost> {
  const scripts = new Map<string, Script>()
  const sockets = new Set<Socket>()
  const { app, origin } = await serve(t, {
    agentExecutor: { main: { execute: speak(scripts), description: 'Says what it is told to' }, other: ({ message }) => `Other: ${message}` },
    after: (scope) => { scope.register(channelPlayground, playground) },
    ...options
  })
  app.server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => { sockets.delete(socket) })
  })
  return {
    app,
    url: `${origin}/api/v1/ws/playground`,
    scripts,
    cutAll: () => { for (const socket of sockets) socket.destroy() }
  }
}

function speak (scripts: ReadonlyMap<string, Script>): Executor {
  return async function * (turn) {
    for (const part of scripts.get(turn.message) ?? [`You said: ${turn.message}`]) {
      if (part instanceof Promise) await turn.waitFor(part)
      else yield part
    }
  }
}
