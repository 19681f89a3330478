import type { Run, WholeMessage } from '../journal/journal.js'
import { PieceJoiner } from './piece-joiner.js'
import { hasSurrogates, utf8Length } from './utf8-length.js'

/** What a turn has answered so far, as its session will remember it, and how much more it may. */
export class AnswerRecord {
  // What every piece touches stands together.
  /** Made with the first character of two code units: many answers have none. */
  #joiner: PieceJoiner | undefined
  readonly #maxBytes: number
  #bytes = 0
  #textLength = 0
  readonly #run: Run
  #whole = ''
  #messages: WholeMessage[] | undefined
  /** Text, so that nobody changes it meanwhile. */
  #metadata: string | undefined

  constructor (run: Run, maxBytes: number) {
    this.#run = run
    this.#maxBytes = maxBytes
  }

  /** The part of the text that can be written now. */
  join (piece: string): string {
    const text = this.#joiner === undefined && !hasSurrogates(piece) ? piece : (this.#joiner ??= new PieceJoiner()).take(piece)
    this.#textLength += text.length
    return text
  }

  /** Counts `text` if there is room for it. */
  hasRoomFor (text: string): boolean {
    const bytes = this.#bytes + utf8Length(text)
    if (bytes > this.#maxBytes) return false
    this.#bytes = bytes
    return true
  }

  keepWhole (content: string): void {
    this.#whole = content
  }

  keepMessage (content: string): void {
    this.#messages ??= []
    this.#messages.push({ content, textBefore: this.#textLength })
  }

  /**
   * In place of what it was before, unless it is too large.
   * @throws TypeError when it is no JSON
   */
  keepMetadata (metadata: Record<string, unknown>): boolean {
    const text = JSON.stringify(metadata)
    if (Buffer.byteLength(text) > this.#maxBytes) return false
    this.#metadata = text
    return true
  }

  metadata (): Record<string, unknown> | undefined {
    // The text of an object.
    return this.#metadata === undefined ? undefined : JSON.parse(this.#metadata) as Record<string, unknown>
  }

  /** The half of a character that was held back for a piece that never came. */
  rest (): string {
    return this.#joiner?.rest() ?? ''
  }

  /** With so many of the whole messages, or all. */
  answer (messages?: number): string {
    return answerOf(this.#whole + this.#run.text.toString(), this.#messages?.slice(0, messages))
  }
}

/** The streamed text and the whole messages between, as paragraphs of one answer. */
export function answerOf (text: string, messages: readonly WholeMessage[] = []): string {
  if (messages.length === 0) return text
  const paragraphs: string[] = []
  let from = 0
  for (const { content, textBefore } of messages) {
    paragraphs.push(text.slice(from, textBefore), content)
    from = textBefore
  }
  paragraphs.push(text.slice(from))
  return paragraphs.filter((paragraph) => paragraph !== '').join('\n\n')
}
