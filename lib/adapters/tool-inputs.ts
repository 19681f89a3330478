import { agentEvent } from '../agent/agent-event.js'
import type { EventPart } from '../agent/executor.js'

/** A piece of a tool's input; the first has the names. */
export interface ToolInputPiece {
  toolCallId?: string | null | undefined
  toolName?: string | null | undefined
  text?: string | null | undefined
}

/** Puts together the inputs of tools that a model writes in pieces, each at a place of its own. */
export class ToolInputs {
  readonly #openByPlace = new Map<string | number, OpenInput>()
  #nameless = 0

  write (place: string | number, piece: ToolInputPiece): EventPart[] {
    const open = this.#openByPlace.get(place)
    // Some servers say '' for an id that they have given before, and some put every call at the same place.
    const isNext = open === undefined || (!!piece.toolCallId && piece.toolCallId !== open.toolCallId)
    const before = isNext ? [...this.close(place), ...this.#begin(place, piece)] : []
    return [...before, ...this.#append(place, piece.text ?? '')]
  }

  /** The whole input, if one is open there. @param given the input, where the model's side tells it once more */
  close (place: string | number, given?: unknown): EventPart[] {
    const open = this.#openByPlace.get(place)
    if (open === undefined) return []
    this.#openByPlace.delete(place)
    const { toolCallId, toolName, pieces } = open
    return [agentEvent('tool-input', { toolCallId, toolName, input: given === undefined ? parsedInput(pieces.join('')) : given })]
  }

  closeAll (): EventPart[] {
    return [...this.#openByPlace.keys()].flatMap((place) => this.close(place))
  }

  #begin (place: string | number, { toolCallId, toolName }: ToolInputPiece): EventPart[] {
    const open = { toolCallId: toolCallId || `call-${++this.#nameless}`, toolName: toolName ?? '', pieces: [] }
    this.#openByPlace.set(place, open)
    return [agentEvent('tool-input-start', { toolCallId: open.toolCallId, toolName: open.toolName })]
  }

  #append (place: string | number, text: string): EventPart[] {
    const open = this.#openByPlace.get(place)
    if (open === undefined || text === '') return []
    open.pieces.push(text)
    return [agentEvent('tool-input-delta', { toolCallId: open.toolCallId, text })]
  }
}

/** A tool without parameters is called with nothing; what is no JSON stays the text that it is. */
export function parsedInput (text: string): unknown {
  if (text === '') return {}
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

interface OpenInput {
  toolCallId: string
  toolName: string
  pieces: string[]
}
