import { compileCheck, type Fault } from '../protocol/schema-check.js'
import type { AgentDefinition, AgentExecutor, Executor } from './executor.js'

/** Finds the executor that a chat is for. */
export interface Agents {
  /** `undefined` for an agent that does not exist. */
  find(agentId: string): Executor | undefined
  /** What is wrong with the `metadata` of a chat to that agent. */
  metadataFault(agentId: string, metadata: Record<string, unknown> | undefined): Fault | undefined
}

/**
 * One function answers for every agent id; a record only for its own keys, and for nothing that objects inherit.
 * @throws Error when an agent's `metadata` is no schema
 */
export function agentsOf (executor: AgentExecutor): Agents {
  if (typeof executor === 'function') return { find: () => executor, metadataFault: () => undefined }
  const agentById = new Map(Object.entries(executor).map(([id, agent]) => [id, agentOf(agent)]))
  return {
    find: (agentId) => agentById.get(agentId)?.execute,
    metadataFault (agentId, metadata) {
      const fault = agentById.get(agentId)?.check?.(metadata ?? {})
      // The path names keys that the client chose: what is sent back stays short.
      return fault === undefined ? undefined : { path: `/metadata${fault.path}`.slice(0, 256).toWellFormed(), rule: fault.rule }
    }
  }
}

function agentOf (agent: Executor | AgentDefinition): Agent {
  if (typeof agent === 'function') return { execute: agent, check: undefined }
  return {
    execute: (turn) => agent.execute(turn),
    check: agent.metadata === undefined ? undefined : compileCheck(agent.metadata)
  }
}

interface Agent {
  execute: Executor
  check: ((metadata: unknown) => Fault | undefined) | undefined
}
