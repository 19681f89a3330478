import { streamHead } from '../protocol/encode.js'
import { bytesOf } from './frame-bytes.js'

/** What the pieces of an agent's answers begin with. */
export class StreamHead {
  readonly agentId: string
  /** Its name as JSON. */
  readonly name: string
  readonly text: string
  /** With the quote that the content follows. */
  readonly bytes: Uint8Array

  constructor (agentId: string) {
    this.agentId = agentId
    this.name = JSON.stringify(agentId)
    this.text = streamHead(this.name)
    this.bytes = bytesOf(`${this.text}"`)
  }
}

/** That of the answer before is mostly that of the next. */
let last = new StreamHead('')

export function streamHeadOf (agentId: string): StreamHead {
  if (last.agentId !== agentId) last = new StreamHead(agentId)
  return last
}
