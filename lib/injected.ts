import type { FastifyInstance } from 'fastify'

import type { AgentExecutor } from './agent/executor.js'
import { echo } from './agent/echo.js'
import type { Clock } from './clock.js'
import { FST_WS_CHANNEL_INJECTED, FST_WS_CHANNEL_INJECTED_TWICE } from './errors.js'
import type { Journal } from './journal/journal.js'
import { memorySessionStore } from './sessions/memory-session-store.js'
import type { SessionStore } from './sessions/session-store.js'

/** What a channel works with, and whether it made it itself. */
export interface Injected<T> {
  value: T
  isDefault: boolean
}

const STORE_METHODS = ['append', 'messages', 'turn', 'list', 'delete']
const JOURNAL_METHODS = [
  'offer', 'claimed', 'take', 'append', 'release', 'withdraw', 'retract', 'cancel', 'publish', 'followTurn', 'follow', 'readers', 'pace',
  'forget', 'stats', 'close'
]

/** Defaults of other channels further up are no injection: each channel without a store has one of its own. */
const defaults = new WeakSet<object>()

/**
 * The agent of a channel: the option, else what the host has decorated its scope with, else an echo.
 * @throws FST_WS_CHANNEL_INJECTED, FST_WS_CHANNEL_INJECTED_TWICE
 */
export function resolveExecutor (fastify: FastifyInstance, option: AgentExecutor | undefined): Injected<AgentExecutor> {
  return resolve<AgentExecutor>(fastify, 'agentExecutor', option, {
    // A copy: the one exported function must not become everybody's default.
    makeDefault: () => (turn) => echo(turn),
    check: executorFault
  })
}

/**
 * The session store of a channel: the option, else the host's decorator, else one in memory.
 * @throws FST_WS_CHANNEL_INJECTED, FST_WS_CHANNEL_INJECTED_TWICE
 */
export function resolveStore (fastify: FastifyInstance, option: SessionStore | undefined, clock: Clock): Injected<SessionStore> {
  return resolve<SessionStore>(fastify, 'sessionStore', option, {
    makeDefault: () => memorySessionStore({ clock }),
    check: storeFault
  })
}

/**
 * What a host gives as its journal, checked.
 * @throws FST_WS_CHANNEL_INJECTED
 */
export function checkJournal (journal: Journal): Journal {
  const fault = isObject(journal) ? lacks(journal, JOURNAL_METHODS) : `it is ${String(journal)}`
  if (fault !== undefined) throw new FST_WS_CHANNEL_INJECTED('journal', `${fault}; give it what \`memoryJournal()\` returns, or a journal of your own`)
  return journal
}

function resolve<T extends object> (
  fastify: FastifyInstance, name: 'agentExecutor' | 'sessionStore', option: T | undefined, kind: Kind<T>
): Injected<T> {
  const isOwn = Object.hasOwn(fastify, name)
  if (option !== undefined && isOwn) throw new FST_WS_CHANNEL_INJECTED_TWICE(name)
  const decorated: unknown = Reflect.get(fastify, name)
  const isInherited = isObject(decorated) && !defaults.has(decorated)
  const injected = option ?? (isOwn || isInherited ? decorated : kind.makeDefault())
  const fault = kind.check(injected)
  if (fault !== undefined) throw new FST_WS_CHANNEL_INJECTED(name, fault + (option === undefined ? accessorAdvice(fastify, name) : ''))
  // `check` has found nothing wrong with it.
  const value = injected as T
  const isDefault = option === undefined && !isOwn && !isInherited
  if (isDefault) defaults.add(value)
  // By a getter, since `decorate` takes a record with an agent named `getter` or `setter` for an accessor.
  if (isDefault || option !== undefined) fastify.decorate<unknown>(name, { getter: () => value })
  return { value, isDefault }
}

function executorFault (executor: unknown): string | undefined {
  if (typeof executor === 'function') return undefined
  const expected = 'expected a function, or a record of functions or { execute } by agent id'
  if (!isObject(executor)) return `${expected}; it is ${String(executor)}`
  const agents = Object.entries(executor)
  if (agents.length === 0) return `${expected}; it is empty`
  const wrong = agents.find(([, agent]) => typeof agent !== 'function' && !hasExecute(agent))
  return wrong === undefined ? undefined : `${expected}; the agent ${JSON.stringify(wrong[0])} is neither`
}

function storeFault (store: unknown): string | undefined {
  return isObject(store) ? lacks(store, STORE_METHODS) : `expected what \`memorySessionStore()\` returns, or a store of your own; it is ${String(store)}`
}

function lacks (value: object, methods: readonly string[]): string | undefined {
  const missing = methods.filter((method) => typeof Reflect.get(value, method) !== 'function')
  return missing.length === 0 ? undefined : `it lacks ${missing.join(', ')}`
}

function hasExecute (agent: unknown): boolean {
  return isObject(agent) && typeof Reflect.get(agent, 'execute') === 'function'
}

function accessorAdvice (fastify: FastifyInstance, name: string): string {
  if (Object.getOwnPropertyDescriptor(fastify, name)?.get === undefined) return ''
  return '. Its decorator is an accessor: Fastify takes a record with a key `getter` or `setter` for one. Give such a ' +
    `record as the option \`${name}\``
}

function isObject (value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

interface Kind<T> {
  makeDefault: () => T
  /** What is wrong with an injected value. */
  check: (value: unknown) => string | undefined
}
