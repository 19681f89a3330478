import { randomUUID } from 'node:crypto'

import { pieceAt, sharedNow, type AgentId } from './agents.js'
import { textFrame, WireClient, type OnFrame } from './wire-client.js'

/** How a client asks, and so what frames it gets. */
export type Kind = 'plain' | 'tracked'

/** Frames of a turn beside its pieces: of a tracked one `ack`, `turn-started` and the end, of a plain one the end. */
const OTHER_FRAMES: Record<Kind, number> = { plain: 1, tracked: 3 }
const [QUOTE, U] = ['"'.charCodeAt(0), 'u'.charCodeAt(0)]
const CONTENT = '"content":"'

export interface Asking {
  agentId: AgentId
  pieces: number
  /** Sessions among which a connection changes, turn by turn, and which are its alone; else it names none. */
  sessions?: number | undefined
}

/** One connection that asks again whenever it has been answered, and counts what comes. */
export class Speaker {
  readonly client: WireClient
  readonly sessionId = randomUUID().slice(0, 13)
  /** Pieces that have come. */
  pieces = 0
  /** Turns that have ended. */
  turns = 0
  /** How long each of them took, in milliseconds. */
  readonly latencies: number[] = []
  /** How late each piece was that said when it was due, in milliseconds; and when that was, by the clock that all processes share. */
  readonly delays: number[] = []
  readonly dues: number[] = []
  readonly #kind: Kind
  readonly #index: number
  readonly #asking: Asking
  #isOver = false
  #onOver: () => void = () => {}
  #onFault: (fault: Error) => void = () => {}

  /** @param index tells the connections of one load apart, in whatever round */
  constructor (client: WireClient, kind: Kind, asking: Asking, index = 0) {
    this.client = client
    this.#index = index
    this.#kind = kind
    this.#asking = asking
  }

  /** Asks until {@link stop}, or for `turns` turns. Settles after the last answer; rejects where one has another number of frames. */
  async run (turns = Infinity): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#onOver = resolve
      this.#onFault = reject
      this.#ask(turns)
    })
  }

  stop (): void {
    this.#isOver = true
  }

  #ask (left: number): void {
    const expected = this.#asking.pieces + OTHER_FRAMES[this.#kind]
    const startedAt = performance.now()
    const isPaced = this.#asking.agentId === 'paced'
    let frames = 0
    this.client.onFrame = (bytes, start, end) => {
      frames++
      if (!isEnd(this.#kind, bytes, end)) {
        if (isPaced) this.#seeDelay(bytes, start)
        return
      }
      if (frames !== expected) return this.#onFault(new Error(`${frames} frames for ${this.#asking.pieces} pieces`))
      this.turns++
      this.latencies.push(performance.now() - startedAt)
      if (this.#isOver || left <= 1) this.#onOver()
      else this.#ask(left - 1)
    }
    this.client.send(this.#chat())
    // What has come so far of a turn that is being answered counts too.
    this.#framesOfTurn = () => frames
  }

  #framesOfTurn: () => number = () => 0

  /** Pieces so far, those of the turn that is being answered included. */
  count (): number {
    return this.turns * this.#asking.pieces + (this.#isOver ? 0 : Math.max(0, this.#framesOfTurn() - OTHER_FRAMES[this.#kind]))
  }

  #chat (): Buffer {
    const { agentId, pieces, sessions } = this.#asking
    const frame = { type: 'chat', agentId, message: `${pieces}` }
    if (this.#kind === 'tracked') return textFrame({ ...frame, id: `${this.turns}-${this.sessionId}`, sessionId: this.sessionId })
    return textFrame(sessions === undefined ? frame : { ...frame, sessionId: `${this.#index} ${this.turns % sessions}` })
  }

  #seeDelay (bytes: Buffer, start: number): void {
    const now = sharedNow()
    const at = bytes.indexOf(CONTENT, start) + CONTENT.length
    if (at < CONTENT.length) return
    const due = Number.parseFloat(bytes.toString('latin1', at, at + 20))
    this.dues.push(due)
    this.delays.push(now - due)
  }
}

/** A plain turn ends with `"done":true}`, a tracked one with `"finishReason":"stop"}`; no other frame of theirs ends so. */
export function isEnd (kind: Kind, bytes: Buffer, end: number): boolean {
  return kind === 'plain' ? bytes[end - 3] === U : bytes[end - 2] === QUOTE
}

/** What nothing is timed before: the frames of one turn, each with its content and in its order. */
export async function checkTurn (client: WireClient, kind: Kind, { agentId, pieces }: Asking): Promise<void> {
  const frames = await new Promise<Array<Record<string, unknown>>>((resolve) => {
    const got: Array<Record<string, unknown>> = []
    const onFrame: OnFrame = (bytes, start, end) => {
      got.push(JSON.parse(bytes.toString('utf8', start, end)) as Record<string, unknown>)
      if (isEnd(kind, bytes, end)) resolve(got)
    }
    client.onFrame = onFrame
    const tracked = kind === 'tracked' ? { id: 'check', sessionId: randomUUID().slice(0, 13) } : {}
    client.send(textFrame({ type: 'chat', agentId, message: `${pieces}`, ...tracked }))
  })
  const said = kind === 'plain' ? frames : frames.slice(2)
  if (frames.length !== pieces + OTHER_FRAMES[kind]) throw new Error(`${frames.length} frames for ${pieces} pieces`)
  said.forEach((frame, i) => {
    const content = i === pieces ? '' : pieceAt(i)
    const got = agentId === 'paced' ? String(frame['content']).replace(/^.*\|/, '') : frame['content']
    if (frame['type'] !== 'stream' || got !== content || frame['done'] !== (i === pieces)) {
      throw new Error(`piece ${i} is ${JSON.stringify(frame)}`)
    }
    if (kind === 'tracked' && frame['seq'] !== i + 2) throw new Error(`piece ${i} has the wrong position: ${JSON.stringify(frame)}`)
  })
}

export async function openMany (port: number, count: number): Promise<WireClient[]> {
  const clients: WireClient[] = []
  while (clients.length < count) {
    const batch = Math.min(100, count - clients.length)
    clients.push(...await Promise.all(Array.from({ length: batch }, () => WireClient.connect(port))))
  }
  return clients
}
