import { isDeepStrictEqual } from 'node:util'

import {
  createChannelClient, ChannelClientError, type ChannelClient, type ClientTurn, type SessionNews, type Subscription
} from '../../lib/client/index.js'
import { FakeSockets, READY, type AnyFrame, type FakeSocket } from './fake-socket.js'
import { ManualClock } from './manual-clock.js'
import { ONLY_CONNECTION } from './transcript.js'
import type { ActLine, Stage, StageEnd } from './transcript-player.js'

/** The package's own client, which is asked to say what a transcript has a client say, against a server that says the rest. */
export class ClientStage implements Stage {
  readonly plays = 'server'
  readonly #actorByName = new Map<string, Actor>()

  async end (at: string): Promise<StageEnd> {
    return await this.#actor(at)
  }

  async prompt ({ at = ONLY_CONNECTION, frame }: { at?: string, frame: Record<string, unknown> }): Promise<void> {
    const actor = await this.#actor(at)
    await actor.say(frame as AnyFrame)
  }

  async act (line: ActLine): Promise<void> {
    if (line.from !== 'network') return
    const at = line.at ?? ONLY_CONNECTION
    if ('cut' in line) return (await this.#actor(at)).cut()
    const actor = this.#actorByName.get(at)
    if (actor !== undefined) return await actor.comeBack()
    this.#actorByName.set(at, await Actor.open(line.open.query, line.open.protocols?.includes('agent-channel.v1') !== true))
  }

  async finish (): Promise<void> {
    for (const actor of this.#actorByName.values()) await actor.finish()
  }

  async #actor (at: string): Promise<Actor> {
    let actor = this.#actorByName.get(at)
    if (actor === undefined) this.#actorByName.set(at, actor = await Actor.open())
    return actor
  }
}

/** One client, and the server's end of its connection. */
class Actor implements StageEnd {
  readonly #clock = new ManualClock()
  readonly #sockets = new FakeSockets()
  readonly #client: ChannelClient
  /** The query of the URL says who the client is to. */
  readonly #defaults: { agentId: string, sessionId: string | undefined }
  /** What the client calls what the transcript calls otherwise: ids of its own making. */
  readonly #madeByTold = new Map<string, unknown>()
  readonly #turns: Told[] = []
  readonly #answers: Array<Promise<void>> = []
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #told: AnyFrame[] = []
  #said: AnyFrame | undefined
  #socket: FakeSocket | undefined

  private constructor (query: string) {
    const params = new URLSearchParams(query)
    this.#defaults = { agentId: params.get('agentId') ?? 'main', sessionId: params.get('sessionId') ?? undefined }
    this.#client = createChannelClient({
      url: `ws://localhost/ws${query}`,
      WebSocket: this.#sockets.WebSocket,
      clock: this.#clock,
      random: () => 0
    })
  }

  /** @param isReady without a transcript that says so */
  static async open (query = '', isReady = true): Promise<Actor> {
    const actor = new Actor(query)
    const socket = await actor.#sockets.nth(1)
    actor.#socket = socket
    if (isReady) socket.isReady()
    else socket.opens()
    return actor
  }

  cut (): void {
    this.#open().closes(1006)
  }

  async comeBack (): Promise<void> {
    this.#clock.advance(1_000)
    this.#socket = await this.#sockets.nth(this.#sockets.made.length + (this.#open() === this.#sockets.made.at(-1) ? 1 : 0))
    this.#socket.isReady(READY)
  }

  /** Has the client say it, unless it has by itself. */
  async say (frame: AnyFrame): Promise<void> {
    const socket = this.#open()
    if (socket.sent.length === 0) this.#ask(frame)
    await this.settled()
    if (socket.sent.length === 0) throw new Error('the client does not say that')
    this.#said = frame
  }

  /** What the client has said, in the words of the transcript where both mean the same. */
  async next (): Promise<string> {
    const made = this.#open().sent.shift()
    const said = this.#said
    if (made === undefined || said === undefined) throw new Error('the client says nothing')
    const fields = Object.keys(said).map((field) => {
      if (field !== 'id' || made.type === 'chat') return [field, made[field]]
      this.#madeByTold.set(String(said.id), made.id)
      return [field, said.id]
    })
    const isNamed = (field: string): boolean => field in said || made[field] === undefined
    const others = Object.keys(made).filter((field) => !isNamed(field) && !this.#isImplied(field, made))
    if (!('id' in said)) this.#madeByTold.set(made.type, made.id)
    return JSON.stringify(Object.fromEntries([...fields, ...others.filter((field) => field !== 'id').map((field) => [field, made[field]])]))
  }

  send (message: string | Uint8Array): void {
    const frame = JSON.parse(message as string) as AnyFrame
    if ('seq' in frame || frame.type === 'error') this.#told.push(frame)
    this.#open().says(this.#translated(frame))
  }

  async settled (): Promise<void> {
    await new Promise((resolve) => { setImmediate(resolve) })
  }

  async close (code: number): Promise<void> {
    this.#open().closes(code)
  }

  async closed (): Promise<never> {
    throw new Error('no transcript has a client close')
  }

  /** What its callers were told is what the server has said. */
  async finish (): Promise<void> {
    await soon('something was not answered', Promise.all(this.#answers))
    const unsaid = this.#open().sent.filter(({ type }) => type !== 'unsubscribe')
    if (unsaid.length > 0) throw new Error(`nobody expected ${JSON.stringify(unsaid)}`)
    for (const told of this.#turns) await this.#check(told)
    this.#client.close()
  }

  async #check ({ turn, read, from }: Told): Promise<void> {
    const frames = this.#told.slice(from).flatMap((frame) => frame.type === 'subscribed' ? frame.turns as AnyFrame[] : frame)
      .filter(({ id }) => id === turn.id)
    const end = frames.findIndex(isEnd)
    const last = frames[end]
    if (last === undefined) return
    const pieces = frames.slice(0, end)
    const [text, outcome] = await soon(`${turn.id} has not ended`, Promise.all([read, turn.finished.catch((err: unknown) => err)]))
    if (last.type === 'error') {
      if (!(outcome instanceof ChannelClientError) || outcome.code !== last.code) throw new Error(`${turn.id} ended with ${String(outcome)}`)
      return
    }
    const expected = last.type === 'message' ? last.content : textOf(pieces)
    const { finishReason, usage } = last
    const result = { text: expected, finishReason, ...(usage === undefined ? {} : { usage }) }
    if (!isDeepStrictEqual(outcome, result)) throw new Error(`${turn.id} ended as ${JSON.stringify(outcome)}, and not ${JSON.stringify(result)}`)
    if (text !== expected) throw new Error(`of ${turn.id} was read ${JSON.stringify(text)}`)
  }

  #ask (frame: AnyFrame): void {
    const { type, id, ...fields } = frame
    const session = { agentId: fields.agentId as string | undefined, sessionId: fields.sessionId as string | undefined }
    const key = JSON.stringify([session.agentId ?? this.#defaults.agentId, session.sessionId ?? this.#defaults.sessionId])
    switch (type) {
      case 'chat': {
        // A refused one it sends again by itself, when its time has come.
        this.#clock.advance(1_000)
        if (this.#open().sent.length > 0) return
        const { message, ...others } = fields
        return this.#read(this.#client.chat({ id: id as string, message: message as string, ...others }), this.#told.length)
      }
      case 'subscribe': {
        const subscription = this.#client.subscribe(session)
        this.#subscriptions.set(key, subscription)
        return this.#follow(subscription)
      }
      case 'unsubscribe': return this.#subscriptions.get(key)?.close()
      case 'cancel': {
        const turn = this.#turns.find(({ turn }) => session.sessionId === undefined && turn.id === fields.turnId)?.turn
        return this.#expect(id, turn?.cancel() ?? this.#client.cancel({ ...session, turnId: fields.turnId as string | undefined }))
      }
      case 'history': return this.#expect(id, this.#client.history({ ...session, ...fields }))
      default: this.#expect(id, this.#client.send(type, fields))
    }
  }

  /** @param from how much the server had told before it told of the turn */
  #read (turn: ClientTurn, from: number): void {
    const read = async (): Promise<string> => {
      let text = ''
      try {
        for await (const piece of turn) text += piece
      } catch { /* `finished` tells the same */ }
      return text
    }
    this.#turns.push({ turn, read: read(), from })
  }

  #follow (subscription: Subscription): void {
    const follow = async (): Promise<void> => {
      for await (const news of subscription) this.#onNews(news)
    }
    // A refusal is what the transcript says.
    follow().catch(() => {})
  }

  #onNews (news: SessionNews): void {
    if (news.type === 'turn' && !this.#turns.some(({ turn }) => turn === news.turn)) this.#read(news.turn, this.#told.length - 1)
  }

  /** Without an `id` a transcript's client may wait for no answer. */
  #expect (id: unknown, answer: Promise<unknown>): void {
    const answered = answer.then(() => {}, (err: unknown) => {
      if (!(err instanceof ChannelClientError)) throw err
    })
    if (id !== undefined) this.#answers.push(answered)
  }

  /** With the ids that the client has made, in place of those of the transcript. */
  #translated (frame: AnyFrame): AnyFrame {
    if (frame.id !== undefined) return { ...frame, id: this.#madeByTold.get(frame.id as string) ?? frame.id }
    const asked = ANSWERED_TYPES[frame.type] ?? frame.type
    const made = this.#madeByTold.get(asked)
    if (made === undefined) return frame
    this.#madeByTold.delete(asked)
    return { ...frame, id: made }
  }

  /** What a client may leave to the server: its defaults, and where a turn is that it has begun on this connection. */
  #isImplied (field: string, { [field]: value, type, turnId }: AnyFrame): boolean {
    if (field !== 'agentId' && field !== 'sessionId') return false
    const turn = this.#turns.find(({ turn }) => type === 'cancel' && turn.id === turnId)?.turn
    return value === (turn ?? this.#defaults)[field]
  }

  #open (): FakeSocket {
    if (this.#socket === undefined) throw new Error('no connection')
    return this.#socket
  }
}

/** What is due needs no more than to be noticed: nothing else is going to happen. */
async function soon<Value> (otherwise: string, promise: Promise<Value>): Promise<Value> {
  const late = new Promise<never>((resolve, reject) => { setImmediate(() => setImmediate(reject, new Error(otherwise))) })
  return await Promise.race([promise, late])
}

/** Which request an answer without an `id` answers: the client gives each of its own an id. */
const ANSWERED_TYPES: Partial<Record<string, string>> = {
  subscribed: 'subscribe', unsubscribed: 'unsubscribe', cancelled: 'cancel', history: 'history'
}

interface Told {
  turn: ClientTurn
  read: Promise<string>
  from: number
}

/** The last frame of a chat, unless the client is to send it again. */
function isEnd ({ type, done, code, retryable }: AnyFrame): boolean {
  return done === true || (type === 'error' && (retryable === false || code === 'SESSION_BUSY' || code === 'QUEUE_FULL'))
}

/** As whoever has all of the frames puts it together: the `content` of an ack, or of a list, which has no types, replaces. */
function textOf (frames: AnyFrame[]): string {
  return frames.reduce((text, { type = 'listed', content }: Partial<AnyFrame>) => {
    if (typeof content !== 'string' || type === 'message') return text
    return type === 'stream' ? text + content : content
  }, '')
}
