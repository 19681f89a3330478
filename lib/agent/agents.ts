import { DEFAULT_AGENT_ID } from '../protocol/names.js'
import { compileCheck, type Fault } from '../protocol/schema-check.js'
import type { AgentDefinition, AgentExecutor, Executor } from './executor.js'

/** Finds the executor that a chat is for. */
export interface Agents {
  /** `undefined` for an agent that does not exist. */
  find(agentId: string): Executor | undefined
  /** What is wrong with the `metadata` of a chat to that agent. */
  metadataFault(agentId: string, metadata: Record<string, unknown> | undefined): Fault | undefined
}

/** Agents of which it is known who they are. */
export interface ListedAgents extends Agents {
  /** One that answers for every id is listed under that of chats which name none. */
  list(): AgentSummary[]
}

/**
 * One function answers for every agent id; a record only for its own keys, and for nothing that objects inherit.
 * @throws Error when an agent's `metadata` is no schema
 */
export function agentsOf (executor: AgentExecutor): ListedAgents {
  if (typeof executor === 'function') {
    return { list: () => [{ agentId: DEFAULT_AGENT_ID }], find: () => executor, metadataFault: () => undefined }
  }
  const agentById = new Map(Object.entries(executor).map(([id, agent]) => [id, agentOf(agent)]))
  return {
    list: () => [...agentById].map(([agentId, { description }]) => description === undefined ? { agentId } : { agentId, description }),
    find: (agentId) => agentById.get(agentId)?.execute,
    metadataFault (agentId, metadata) {
      const fault = agentById.get(agentId)?.check?.(metadata ?? {})
      // The path names keys that the client chose: what is sent back stays short.
      return fault === undefined ? undefined : { path: `/metadata${fault.path}`.slice(0, 256).toWellFormed(), rule: fault.rule }
    }
  }
}

function agentOf (agent: Executor | AgentDefinition): Agent {
  if (typeof agent === 'function') return { execute: agent, description: undefined, check: undefined }
  return {
    execute: (turn) => agent.execute(turn),
    description: agent.description,
    check: agent.metadata === undefined ? undefined : compileCheck(agent.metadata)
  }
}

export interface AgentSummary {
  agentId: string
  description?: string
}

interface Agent {
  execute: Executor
  description: string | undefined
  check: ((metadata: unknown) => Fault | undefined) | undefined
}
