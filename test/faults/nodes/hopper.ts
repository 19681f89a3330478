import { WebSocket } from 'ws'

import type { Random } from '../../fuzz/random.js'
import type { Frame } from '../../helpers/channel-client.js'
import type { Fleet } from './fleet.js'

export interface Chat {
  id: string
  message: string
  /** All that its turn says if nothing happens to it. */
  text: string
}

/** What a hopper knows of a turn. */
export interface TurnView {
  text: string
  /** How it ended; more than one is a fault. */
  ends: string[]
  /** It ended behind the hopper's back: the history tells how. */
  isUnseen: boolean
  /** Its end is what a node has told its own readers that could not write it: `left` when they have gone, elsewhere it may go on. */
  unwritten?: 'told' | 'left' | undefined
}

/** One entry as a hopper was told it: where, and what it knew of the turn's text then. */
export interface Told {
  epoch: string
  seq: number
  id: string
  /** `end …`, or the frame's type. */
  what: string
  text: string
  /**
   * Of an end that its node may not have been able to write: turns of which the same was told before. Where the journal has got
   * their ends since, its reader was not told again, and is behind them all the same.
   */
  passedOver?: string[]
}

const RETRY_MS = 50
const CONNECT_MS = 1_000
/** Whoever hears nothing for so long goes elsewhere: a node may be stopped. */
const SILENCE_MS = 2_500

/** A client that follows one session, says its chats there, and goes from node to node. */
export class Hopper {
  readonly sessionId: string
  readonly turns = new Map<string, TurnView>()
  /** All that came with a place in the journal. */
  readonly told: Told[] = []
  readonly epochs = new Set<string>()
  readonly faults: string[] = []
  readonly #fleet: Pick<Fleet, 'nodes'>
  readonly #random: Random
  readonly #unanswered = new Map<string, Chat>()
  readonly #answered: Chat[] = []
  #ws: WebSocket | undefined
  #position: { epoch: string, seq: number } | undefined
  #heardAt = Date.now()
  #timer: NodeJS.Timeout | undefined
  /** How often it was acknowledged as a duplicate: as often its end may be told again. */
  readonly #retold = new Map<string, number>()
  isClosed = false

  constructor (sessionId: string, fleet: Pick<Fleet, 'nodes'>, random: Random) {
    this.sessionId = sessionId
    this.#fleet = fleet
    this.#random = random
    this.#timer = setInterval(() => { this.#look() }, RETRY_MS)
    this.#connect()
  }

  /** All of its chats have their ends. */
  get isDone (): boolean {
    return this.#unanswered.size === 0 && [...this.turns.values()].every(({ ends, isUnseen }) => ends.length > 0 || isUnseen)
  }

  say (chat: Chat): void {
    this.#unanswered.set(chat.id, chat)
    this.#send(frameOf(chat, this.sessionId))
  }

  /** Goes to another node. */
  hop (): void {
    this.#ws?.terminate()
  }

  close (): void {
    this.isClosed = true
    clearInterval(this.#timer)
    this.#ws?.terminate()
  }

  #connect (): void {
    const node = this.#fleet.nodes[this.#random.below(this.#fleet.nodes.length)]
    if (node === undefined) return
    const ws = this.#ws = new WebSocket(node.url, { handshakeTimeout: CONNECT_MS })
    this.#heardAt = Date.now()
    ws.on('error', () => {})
    ws.on('open', () => {
      const place = this.#position === undefined ? {} : { epoch: this.#position.epoch, after: this.#position.seq }
      this.#send({ type: 'subscribe', sessionId: this.sessionId, ...place })
    })
    ws.on('message', (data: Buffer) => {
      if (this.#ws !== ws || this.isClosed) return
      this.#heardAt = Date.now()
      this.#take(JSON.parse(data.toString()) as Frame)
    })
  }

  #look (): void {
    const state = this.#ws?.readyState
    if (state === WebSocket.OPEN && Date.now() - this.#heardAt > SILENCE_MS / 2) this.#send({ type: 'ping' })
    if (Date.now() - this.#heardAt > SILENCE_MS) this.#ws?.terminate()
    if (state === WebSocket.CLOSED) this.#connect()
  }

  #send (frame: object): void {
    if (this.#ws?.readyState === WebSocket.OPEN) this.#ws.send(JSON.stringify(frame))
  }

  #take (frame: Frame): void {
    const { type, id, seq } = frame as Frame & { id?: string, seq?: number }
    if (type === 'subscribed') return this.#subscribed(frame as unknown as Subscribed)
    if (type === 'pong') return
    if (type === 'ack' && id !== undefined) return this.#acknowledged(id, frame)
    if (type === 'error' && frame['done'] !== true) return this.#refused(id)
    if (id === undefined || seq === undefined) return this.#fault('unexpected', frame)
    this.#told(id, seq, frame)
  }

  #subscribed ({ epoch, seq, recovered, turns }: Subscribed): void {
    for (const turn of this.turns.values()) if (turn.unwritten === 'told') turn.unwritten = 'left'
    this.#retold.clear()
    if (!recovered) {
      const open = new Set(turns.map(({ id }) => id))
      for (const [id, turn] of this.turns) if (turn.ends.length === 0 && !open.has(id) && !this.#unanswered.has(id)) turn.isUnseen = true
      for (const { id, content } of turns) this.turns.set(id, { text: content ?? '', ends: [], isUnseen: false })
    } else if (epoch !== this.#position?.epoch || seq !== this.#position.seq) this.#fault('recovered elsewhere', { epoch, seq })
    this.#position = { epoch, seq }
    this.epochs.add(epoch)
    for (const chat of this.#unanswered.values()) this.#send(frameOf(chat, this.sessionId))
    // As if its acknowledgement had been lost.
    const again = this.#random.perMille(300) ? this.#answered.at(-1) : undefined
    if (again !== undefined) this.#send(frameOf(again, this.sessionId))
  }

  #acknowledged (id: string, { status, content, epoch, seq }: Frame): void {
    const chat = this.#unanswered.get(id)
    if (chat !== undefined) this.#answered.push(chat)
    this.#unanswered.delete(id)
    this.epochs.add(String(epoch))
    if (this.#position === undefined || epoch !== this.#position.epoch) this.#position = { epoch: String(epoch), seq: Number(seq) }
    const turn = this.turns.get(id)
    if (status === 'duplicate') {
      this.#retold.set(id, (this.#retold.get(id) ?? 0) + 1)
      if (turn?.ends[0] === 'stop' && content !== turn.text) this.#fault('another text', { id, content })
      if (turn?.ends.length !== 1) this.turns.set(id, { text: typeof content === 'string' ? content : turn?.text ?? '', ends: turn?.ends ?? [], isUnseen: false })
    } else if (turn === undefined) this.turns.set(id, { text: '', ends: [], isUnseen: false })
  }

  /** Nothing came of it: it is said again. */
  #refused (id: string | undefined): void {
    const chat = id === undefined ? undefined : this.#unanswered.get(id)
    if (chat !== undefined) setTimeout(() => { if (this.#unanswered.has(chat.id)) this.#send(frameOf(chat, this.sessionId)) }, RETRY_MS * 4)
    // The session could not be followed.
    else if (id === undefined) this.hop()
  }

  #told (id: string, seq: number, frame: Frame): void {
    const turn = this.turns.get(id) ?? { text: '', ends: [], isUnseen: false }
    this.turns.set(id, turn)
    const end = frame['done'] === true ? String(frame['code'] ?? frame['finishReason']) : undefined
    const isBehind = this.#position !== undefined && seq <= this.#position.seq
    const retold = end === undefined ? 0 : this.#retold.get(id) ?? 0
    // A node that could not write an end tells it to its own readers, at the place where they are.
    const mayBeUnwritten = end === 'STORE_UNAVAILABLE' || end === 'TURN_LOST'
    if (isBehind && retold === 0 && !mayBeUnwritten) this.#fault(`order, behind ${this.#position?.seq}`, frame)
    if (this.#position !== undefined) this.#position.seq = Math.max(seq, this.#position.seq)
    if (turn.unwritten === 'left' && !isBehind) Object.assign(turn, { ends: [], unwritten: undefined })
    if (frame.type === 'event') turn.text = ''
    else if (end === undefined) this.#say(turn, frame)
    const passedOver = mayBeUnwritten ? this.#unwritten() : []
    // What was told again, or could not be written, is told at the place where the reader is.
    if (!isBehind || end === undefined) {
      const what = end === undefined ? frame.type : `end ${end}`
      this.told.push({ epoch: this.#position?.epoch ?? '', seq, id, what, text: turn.text, passedOver })
    }
    if (end === undefined) return void this.#retold.delete(id)
    if (turn.ends.length === 0) {
      turn.ends.push(end)
      if (mayBeUnwritten && (isBehind || passedOver.length > 0)) turn.unwritten = 'told'
    } else if (retold > 0) this.#retold.set(id, retold - 1)
    else this.#fault('two ends', frame)
  }

  #unwritten (): string[] {
    return [...this.turns].flatMap(([id, { unwritten }]) => unwritten === 'told' ? [id] : [])
  }

  #say (turn: TurnView, frame: Frame): void {
    if (turn.ends.length > 0) this.#fault('told after its end', frame)
    else turn.text += String(frame['content'])
  }

  #fault (what: string, frame: object): void {
    this.faults.push(`${this.sessionId}: ${what}: ${JSON.stringify(frame).slice(0, 300)}`)
  }
}

function frameOf ({ id, message }: Chat, sessionId: string): object {
  return { type: 'chat', id, sessionId, message }
}

interface Subscribed {
  epoch: string
  seq: number
  recovered: boolean
  turns: Array<{ id: string, status: string, content?: string }>
}
