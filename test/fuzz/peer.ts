import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'

import { WebSocket } from 'ws'

import { Expectations, type Defaults } from './expectations.js'
import type { FrameMaker, Message } from './frame-maker.js'
import { judge, type OracleLimits } from './oracle.js'
import type { Random } from './random.js'
import type { SessionViews } from './session-view.js'

export interface PeerOptions {
  url: string
  protocols: string[]
  defaults: Defaults
  maker: FrameMaker
  random: Random
  limits: OracleLimits
  sessions: SessionViews
  /** Whether another frame is to be sent; counts it. */
  takeFrame: () => boolean
  /** Whether what it sends may wait for the turn of others. */
  mayWait: boolean
  onFault: (fault: string) => void
}

/** Frames that may be without an answer before the next is sent. */
const WINDOW = 200
/** So many frames, and the others have their turn. */
const FRAMES_IN_TURN = 32
/** An answer that takes longer will not come. */
const PATIENCE_MS = 20_000

/** Sends frames over one connection after the other, and watches what comes back. */
export class Peer {
  answered = 0
  closes = 0
  cut = 0
  readonly #options: PeerOptions
  #socket!: WebSocket
  #expected!: Expectations
  #wake: () => void = () => {}
  #isReady = false

  constructor (options: PeerOptions) {
    this.#options = options
  }

  async run (): Promise<void> {
    const { takeFrame, maker, random } = this.#options
    await this.#open()
    for (let sent = 1; takeFrame(); sent++) {
      const message = maker.make()
      if (this.#isGone) await this.#goOn(new Error('the server closed the connection'))
      if (this.#expected.open >= WINDOW) await this.#answers(WINDOW / 2)
      await this.#send(message)
      if (random.below(20_000) === 0) await this.#cutOff()
      if (sent % FRAMES_IN_TURN === 0) await setImmediate()
    }
    await this.#answers(0)
    await this.#leave()
  }

  async #send (message: Message): Promise<void> {
    const verdict = judge(message.data, message.isBinary, this.#options.limits)
    if (verdict.kind !== 'close') {
      if (this.#expected.isAlone(verdict)) await this.#answers(0)
      this.#expected.add(verdict)
    // What runs when a connection is closed is a case of its own, and its answers are lost.
    } else if (this.#options.random.perMille(700)) await this.#answers(0)
    this.#write(message)
    if (verdict.kind !== 'close') return
    const [code] = await this.#closed() as [number]
    if (code !== verdict.code) this.#fault(`expected a close with ${verdict.code}, got ${code}`)
    this.closes++
    this.#settle(false)
    await this.#open()
  }

  /** Now and then in fragments, cut wherever it falls. */
  #write ({ data, isBinary }: Message): void {
    const { random } = this.#options
    if (random.below(50) > 0) return this.#socket.send(data, { binary: isBinary })
    const at = random.below(data.length + 1)
    this.#socket.send(data.subarray(0, at), { binary: isBinary, fin: false })
    this.#socket.send(data.subarray(at), { binary: isBinary, fin: true })
  }

  async #open (): Promise<void> {
    const { url, protocols, defaults, sessions } = this.#options
    const socket = new WebSocket(url, protocols, { perMessageDeflate: false })
    const expected = new Expectations(defaults, sessions, (fault) => { this.#fault(fault) })
    this.#socket = socket
    this.#expected = expected
    this.#isReady = protocols.length === 0
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) return this.#fault('a binary message from the server')
      this.#take(data.toString())
      this.#wake()
    })
    socket.on('error', () => {})
    socket.on('close', () => { this.#wake() })
    await once(socket, 'open')
  }

  /** With the subprotocol a `ready` comes before all else. */
  #take (text: string): void {
    if (this.#isReady) return this.#expected.take(text)
    this.#isReady = true
    const { type, protocol, types } = JSON.parse(text) as Record<string, unknown>
    if (type !== 'ready' || protocol !== 'agent-channel.v1' || !Array.isArray(types)) this.#fault(`expected ready: ${text}`)
  }

  async #answers (open: number): Promise<void> {
    const giveUp = setTimeout(() => {
      this.#fault(`${this.#expected.open} frames have no answer after ${PATIENCE_MS} ms`)
      this.#socket.terminate()
    }, PATIENCE_MS)
    while (this.#expected.open > open && !this.#isGone) await new Promise<void>((resolve) => { this.#wake = resolve })
    clearTimeout(giveUp)
    if (this.#isGone) await this.#goOn(new Error('the connection was lost'))
  }

  async #goOn (reason: Error): Promise<void> {
    this.#fault(reason.message)
    this.#settle(true)
    await this.#open()
  }

  /** As when a cable is pulled: the server has to notice by itself. */
  async #cutOff (): Promise<void> {
    const closed = this.#closed()
    this.#socket.terminate()
    await closed
    this.#settle(true)
    await this.#open()
  }

  async #leave (): Promise<void> {
    const closed = this.#closed()
    this.#socket.close(1000)
    const [code] = await closed as [number]
    if (code !== 1000) this.#fault(`expected a close with 1000, got ${code}`)
    this.#settle(false)
  }

  async #closed (): Promise<unknown[]> {
    if (this.#isGone) return [1006]
    const closing: unknown[] = await once(this.#socket, 'close')
    return closing
  }

  #settle (isCut: boolean): void {
    this.cut += this.#expected.end(isCut || this.#options.mayWait)
    this.answered += this.#expected.answered
  }

  get #isGone (): boolean { return this.#socket.readyState === WebSocket.CLOSED }

  #fault (fault: string): void {
    this.#options.onFault(fault)
  }
}
