import type { ServerFrame, ServerFrameOf } from '../protocol/server-frames.js'
import { WholeTelling } from './whole-telling.js'

/** What became of a chat; of one that was sent before and is over, also how it ended. */
export type AckAnswer = ServerFrameOf<'ack'> & { end?: ServerFrameOf<'stream' | 'message' | 'error'> }

/** The `ack` of a chat, as one JSON body: its turn is told elsewhere. */
export class AckTelling extends WholeTelling {
  #ack: AckAnswer | undefined

  override tell (text: string): string | undefined {
    // It was made from one.
    const frame = JSON.parse(text) as ServerFrame
    if (frame.type === 'ack') this.#ack = frame
    // What comes before is a refusal; what comes behind goes to whoever follows the session.
    else if (this.#ack === undefined) return text
    else if (this.#ack.status === 'duplicate' && isEnd(frame)) this.#ack.end = frame
    return undefined
  }

  onAnswered (): void {
    if (this.#ack !== undefined) this.settle(this.#ack)
  }
}

function isEnd (frame: ServerFrame): frame is ServerFrameOf<'stream' | 'message' | 'error'> {
  return 'done' in frame && frame.done
}
