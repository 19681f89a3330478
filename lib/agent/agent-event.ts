import type { AgentEvents } from '../protocol/agent-events.js'
import type { EventPart } from './executor.js'

/** An event of one of the usual names, with the data that it has to have. */
export function agentEvent<Name extends keyof AgentEvents> (name: Name, data: AgentEvents[Name]): EventPart {
  return { type: 'event', name, data }
}
