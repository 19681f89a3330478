import type { AGUIEvent, BaseEvent, RunAgentInput } from '@ag-ui/core'

import type { Executor, Part, Turn } from '../agent/executor.js'
import type { Stream } from '../agent/read-stream.js'
import type { Awaitable } from '../awaitable.js'
import { streamExecutor, type AdapterOptions, type Opened } from './adapter.js'
import { AgUiEvents } from './ag-ui-events.js'
import { guardRequests, type Fetching } from './http-agent.js'
import { pulled, type Subscribable } from './observable.js'
import { isOwnPart } from './own-part.js'
import { ReaderPace } from './reader-pace.js'

export type { AdapterOptions } from './adapter.js'
export type { Subscribable } from './observable.js'

export interface AgUiCall {
  /** The session as the thread, the turn as the run, its history and question as the messages, its `metadata` as `forwardedProps`. */
  input: RunAgentInput
  /** Fires when nobody wants the rest. */
  signal: AbortSignal
}

export interface AgUiOptions extends AdapterOptions {
  /**
   * Events of an observable that may lie unread, since it does not wait for its reader. One more, and the turn fails.
   * @default 10_000
   */
  maxUnreadEvents?: number | undefined
}

/** An agent of AG-UI, such as an `HttpAgent`: for one run, since an abort ends it. */
export interface AgUiAgent {
  run(input: RunAgentInput): Subscribable<BaseEvent>
  abortRun?(): void
}

/** What the protocol knows, and what agents are typed to send. */
export type AgUiItem = AGUIEvent | BaseEvent | Part

/**
 * An agent that speaks AG-UI: `fromAgUi(() => new HttpAgent({ url }))`. `open` returns the agent, or its events: an
 * observable, or something that can be iterated.
 */
export function fromAgUi (
  open: (call: AgUiCall, turn: Turn) => Awaitable<AgUiAgent | Subscribable<AgUiItem> | Stream<AgUiItem>>, options: AgUiOptions = {}
): Executor {
  const { maxUnreadEvents = 10_000 } = options
  return streamExecutor(async (turn): Promise<Opened<AgUiItem>> => {
    const call = { input: await inputOf(turn, options), signal: turn.signal }
    const opened = await open(call, turn)
    if ('run' in opened) return { stream: running(opened, call, maxUnreadEvents) }
    return { stream: 'subscribe' in opened ? pulled(opened, maxUnreadEvents) : opened }
  }, () => new AgUiItems(), options)
}

function running (agent: AgUiAgent, { input, signal }: AgUiCall, maxUnread: number): Stream<BaseEvent> {
  const pace = new ReaderPace()
  const failureOf = 'fetch' in agent ? guardRequests(agent as AgUiAgent & Fetching, pace) : () => undefined
  const abort = (): void => { agent.abortRun?.() }
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  const events = agent.run(input)
  return pace.watched(pulled<BaseEvent>({
    subscribe: (observer) => events.subscribe({
      ...observer,
      complete () {
        const failure = failureOf()
        if (failure === undefined) observer.complete()
        else observer.error(failure.err)
      }
    })
  }, maxUnread))
}

async function inputOf (turn: Turn, { historyLimit }: AdapterOptions): Promise<RunAgentInput> {
  const said = await turn.history({ limit: historyLimit })
  const messages = said.map(({ role, content, turnId }) => ({ id: `${turnId}-${role}`, role, content }))
  return {
    threadId: turn.sessionId,
    runId: turn.id,
    messages: [...messages, { id: `${turn.id}-user`, role: 'user', content: turn.message }],
    state: {},
    tools: [],
    context: [],
    forwardedProps: turn.metadata ?? {}
  }
}

class AgUiItems {
  readonly #events = new AgUiEvents()

  take (item: AgUiItem): Part[] {
    // An agent may send what this version of the protocol does not know; it is told apart by its type alone.
    return isOwnPart(item) ? [item] : this.#events.take(item as AGUIEvent)
  }

  end (): Part[] {
    return this.#events.end()
  }
}
