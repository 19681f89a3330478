import type { FastifyInstance } from 'fastify'

import type { AgentExecutor } from './agent/executor.js'
import { echo } from './agent/echo.js'
import type { Clock } from './clock.js'
import { FST_WS_CHANNEL_INJECTED, FST_WS_CHANNEL_INJECTED_TWICE } from './errors.js'
import { memorySessionStore } from './sessions/memory-session-store.js'
import type { SessionStore } from './sessions/session-store.js'

/** What a channel works with, and whether it made it itself. */
export interface Injected<T> {
  value: T
  isDefault: boolean
}

/** Defaults of other channels further up are no injection: each channel without a store has one of its own. */
const defaults = new WeakSet<object>()

/**
 * The agent of a channel: the option, else what the host has decorated its scope with, else an echo.
 * @throws FST_WS_CHANNEL_INJECTED, FST_WS_CHANNEL_INJECTED_TWICE
 */
export function resolveExecutor (fastify: FastifyInstance, option: AgentExecutor | undefined): Injected<AgentExecutor> {
  // A copy: the one exported function must not become everybody's default.
  const injected = resolve<AgentExecutor>(fastify, 'agentExecutor', option, () => (turn) => echo(turn))
  checkExecutor(fastify, injected.value)
  return injected
}

/**
 * The session store of a channel: the option, else the host's decorator, else one in memory.
 * @throws FST_WS_CHANNEL_INJECTED, FST_WS_CHANNEL_INJECTED_TWICE
 */
export function resolveStore (fastify: FastifyInstance, option: SessionStore | undefined, clock: Clock): Injected<SessionStore> {
  const injected = resolve<SessionStore>(fastify, 'sessionStore', option, () => memorySessionStore({ clock }))
  const missing = STORE_METHODS.filter((method) => typeof injected.value[method] !== 'function')
  if (missing.length > 0) throw new FST_WS_CHANNEL_INJECTED('sessionStore', `it lacks ${missing.join(', ')}`)
  return injected
}

const STORE_METHODS = ['append', 'messages', 'turn', 'list', 'delete'] as const

function resolve<T extends object> (
  fastify: FastifyInstance, name: 'agentExecutor' | 'sessionStore', option: T | undefined, makeDefault: () => T
): Injected<T> {
  const isOwn = Object.hasOwn(fastify, name)
  if (option !== undefined) {
    if (isOwn) throw new FST_WS_CHANNEL_INJECTED_TWICE(name)
    decorate(fastify, name, option)
    return { value: option, isDefault: false }
  }
  const decorated: unknown = fastify.hasDecorator(name) ? fastify.getDecorator(name) : undefined
  const isInjected = isOwn || (isObject(decorated) && !defaults.has(decorated))
  // What is decorated is checked by the callers.
  if (isInjected && isObject(decorated)) return { value: decorated as T, isDefault: false }
  if (isOwn) throw new FST_WS_CHANNEL_INJECTED(name, `it is decorated with ${String(decorated)}`)
  const value = makeDefault()
  defaults.add(value)
  decorate(fastify, name, value)
  return { value, isDefault: true }
}

/** By a getter, since `decorate` takes a record with an agent named `getter` or `setter` for an accessor. */
function decorate (fastify: FastifyInstance, name: string, value: unknown): void {
  fastify.decorate(name, { getter: () => value })
}

function checkExecutor (fastify: FastifyInstance, executor: AgentExecutor): void {
  if (typeof executor === 'function') return
  const wrong = Object.entries(executor).find(([, agent]) => typeof agent !== 'function' && !hasExecute(agent))
  if (wrong === undefined && Object.keys(executor).length > 0) return
  if (Object.getOwnPropertyDescriptor(fastify, 'agentExecutor')?.get !== undefined) {
    throw new FST_WS_CHANNEL_INJECTED('agentExecutor', 'its decorator is an accessor that yields no agent. Fastify takes ' +
      'a record with an agent named `getter` or `setter` for one: give such a record as the option `agentExecutor`')
  }
  throw new FST_WS_CHANNEL_INJECTED('agentExecutor', 'expected a function, or a record of functions or { execute } by ' +
    `agent id${wrong === undefined ? '' : `; the agent ${JSON.stringify(wrong[0])} is neither`}`)
}

function hasExecute (agent: unknown): boolean {
  return isObject(agent) && 'execute' in agent && typeof agent.execute === 'function'
}

function isObject (value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}
