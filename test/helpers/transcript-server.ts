import { ChannelError, ERROR_CODES, memoryJournal, type ErrorCode } from '../../lib/index.js'
import { serve, type Host } from './app.js'
import type { Attendant } from './channel-client.js'
import { eventually } from './eventually.js'
import { ManualClock } from './manual-clock.js'
import { ONLY_CONNECTION, type HostLine, type NetworkLine, type Transcript } from './transcript.js'
import { TranscriptAgent } from './transcript-agent.js'
import { dial, type RawClient } from './transcript-client.js'
import type { ActLine, Stage } from './transcript-player.js'

/** Whose connections they are that name nobody. */
const OWNER = 'anne'
/** How long the agent or the host may take to what a transcript says. */
const PATIENCE_MS = 10_000

/** A real server on a real socket, with an agent, a host and a clock that do what the transcript says. */
export async function serverStage (t: Attendant, transcript: Transcript): Promise<Stage> {
  const { options = {}, journal = {}, agents, types = {}, forbids = [] } = transcript
  const [clock, agent, handlers] = [new ManualClock(), new TranscriptAgent(), new Handlers()]
  const host = await serve(t, {
    ...options,
    clock,
    journal: memoryJournal({ ...journal, clock }),
    agentExecutor: agents === undefined ? agent.executor : Object.fromEntries(agents.map((id) => [id, agent.executor])),
    identify: ({ headers }) => String(headers['x-owner'] ?? OWNER),
    authorize: ({ type }) => !forbids.includes(type),
    before: (app) => {
      app.addHook('onReady', async () => {
        for (const [type, schema] of Object.entries(types)) app.channel.define(type, { schema, handler: () => handlers.handle(type) })
      })
    }
  })
  return new ServerStage(t, host, { clock, agent, handlers })
}

class ServerStage implements Stage {
  readonly plays = 'client'
  readonly #host: Host
  readonly #parts: StageParts
  readonly #clientByName = new Map<string, RawClient>()
  #drained: Promise<void> | undefined

  constructor (t: Attendant, host: Host, parts: StageParts) {
    this.#host = host
    this.#parts = parts
    t.teardown(() => this.#close())
  }

  async end (at: string): Promise<RawClient> {
    const client = this.#clientByName.get(at)
    if (client !== undefined) return client
    await this.#open({ from: 'network', at, open: {} })
    return this.#client(at)
  }

  async act (line: ActLine): Promise<void> {
    const { clock, agent } = this.#parts
    switch (line.from) {
      case 'agent': return await inTime(agent.act(line), 'the agent does not come to it')
      case 'clock': return clock.advance(line.advanceMs)
      case 'host': return await inTime(this.#actAsHost(line), 'the host does not come to it')
      case 'network':
        if ('cut' in line) await this.#cut(line.at ?? ONLY_CONNECTION)
        else await this.#open(line)
    }
  }

  async finish (): Promise<void> {
    for (const client of this.#clientByName.values()) await client.fence()
    for (const client of this.#clientByName.values()) await client.close()
    await this.#drained
  }

  async #open ({ at = ONLY_CONNECTION, open, refused }: Extract<NetworkLine, { open: unknown }>): Promise<void> {
    if (this.#clientByName.get(at)?.isOpen === true) throw new Error(`${at} is open already`)
    const { query = '', owner = OWNER, protocols = [] } = open
    const dialled = await dial(this.#host.url + query, { headers: { 'x-owner': owner }, protocols })
    const status = 'status' in dialled ? dialled.status : undefined
    if ('client' in dialled) this.#clientByName.set(at, dialled.client)
    if (status !== refused) throw new Error(`the upgrade was answered with ${status ?? 101}`)
  }

  /** Afterwards the server knows. */
  async #cut (at: string): Promise<void> {
    const client = this.#client(at)
    await client.fence()
    const { connections } = this.#host.app.channel.stats()
    client.terminate()
    this.#clientByName.delete(at)
    await eventually(() => this.#host.app.channel.stats().connections < connections)
  }

  async #actAsHost (line: HostLine): Promise<void> {
    const { handles, publishes, says, drains } = line
    const { channel } = this.#host.app
    if (handles !== undefined) return await this.#parts.handlers.answer(handles, line)
    if (publishes !== undefined) {
      const { name, data, ...session } = publishes
      await channel.publish({ owner: OWNER, ...session }, name, data)
    }
    if (says !== undefined) await channel.startTurn({ owner: OWNER, ...says })
    if (drains === true) this.#drained = channel.drain()
  }

  #client (at: string): RawClient {
    const client = this.#clientByName.get(at)
    if (client === undefined) throw new Error(`no connection is called ${at}`)
    return client
  }

  /** A turn that a failed transcript has left running would keep the host from closing: its time goes by at once. */
  async #close (): Promise<void> {
    for (const client of this.#clientByName.values()) client.terminate()
    let isClosed = false
    const closing = this.#host.app.close().finally(() => { isClosed = true })
    await eventually(() => {
      this.#parts.clock.advance(60_000)
      return isClosed
    })
    await closing
  }
}

/** The handlers of the host's frame types: each call is answered when the transcript says so, the oldest first. */
class Handlers {
  readonly #callsByType = new Map<string, Array<(answer: HandlerAnswer) => void>>()
  #onCall: (() => void) | undefined

  async handle (type: string): Promise<unknown> {
    const { returns, throws, refuses } = await new Promise<HandlerAnswer>((resolve) => {
      this.#calls(type).push(resolve)
      this.#onCall?.()
    })
    if (throws !== undefined) throw new Error(throws)
    if (refuses === undefined) return returns
    if (!isErrorCode(refuses)) throw new Error(`there is no code ${refuses}`)
    throw new ChannelError(refuses)
  }

  async answer (type: string, answer: HandlerAnswer): Promise<void> {
    while (this.#calls(type).length === 0) await new Promise<void>((resolve) => { this.#onCall = resolve })
    this.#calls(type).shift()?.(answer)
  }

  #calls (type: string): Array<(answer: HandlerAnswer) => void> {
    let calls = this.#callsByType.get(type)
    if (calls === undefined) this.#callsByType.set(type, calls = [])
    return calls
  }
}

async function inTime (done: Promise<void>, what: string): Promise<void> {
  let giveUp: NodeJS.Timeout | undefined
  const late = new Promise<never>((resolve, reject) => {
    giveUp = setTimeout(() => { reject(new Error(`${what} in ${PATIENCE_MS} ms`)) }, PATIENCE_MS)
  })
  await Promise.race([done, late]).finally(() => { clearTimeout(giveUp) })
}

function isErrorCode (code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code)
}

interface StageParts {
  clock: ManualClock
  agent: TranscriptAgent
  handlers: Handlers
}

type HandlerAnswer = Pick<HostLine, 'returns' | 'throws' | 'refuses'>
