import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { Static, TSchema } from '@sinclair/typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyBaseLogger } from 'fastify'

import type { Awaitable } from '../awaitable.js'
import { FST_WS_CHANNEL_DEFINE } from '../errors.js'
import { hostFrameShape, type HostFrame, type HostFrameShape } from '../protocol/host-frame.js'
import { CLIENT_FRAME_TYPES, MAX_NAME_LENGTH, NAME_PATTERN } from '../protocol/names.js'
import { serverFrameSchemas } from '../protocol/server-frames.js'

/** Who has sent a frame of a host-defined type, and from where. */
export interface FrameSender {
  readonly owner: string
  /** What `identify` gave along. */
  readonly context: unknown
  readonly connectionId: string
  /** The connection's default, else `main`. */
  readonly agentId: string
  /** The connection's default. */
  readonly sessionId: string | undefined
  /** Fires when nobody waits for the answer any more: the connection is closed, or `handlerTimeoutMs` is over. */
  readonly signal: AbortSignal
  /** The host's logger, with `connectionId` and `owner` bound. */
  readonly log: FastifyBaseLogger
}

/** A frame type of the host's own. */
export interface HostType<Frame> {
  /** What its frames hold beside `type` and `id`: a TypeBox schema or any JSON Schema. */
  schema: object
  /**
   * Answers a frame. What it returns (JSON of at most `maxEventBytes`, or a promise of it) is sent back as the `data` of
   * a frame of the same `type` and `id`; nothing is sent for `undefined` to a frame without an `id`. A thrown
   * `ChannelError` is sent as an `error` frame of its code, anything else is logged and sent as `INTERNAL`.
   */
  handler: (frame: Frame, sender: FrameSender) => unknown
}

/** A frame as the handler gets it: what its schema says, and the `type` and `id` that every frame may have. */
export type FrameOf<Schema> = { type: string, id?: string } & (Schema extends TSchema ? Static<Schema> : Record<string, unknown>)

export type HostHandler = (frame: HostFrame, sender: FrameSender) => Awaitable<unknown>

const TypeName = Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH, pattern: NAME_PATTERN })
const isTypeName = TypeCompiler.Compile(TypeName)

/** The frame types that a host has defined for its channel. */
export class HostTypes {
  readonly shapes = new Map<string, HostFrameShape>()
  /** What the host gave, for documents. */
  readonly schemas = new Map<string, object>()
  readonly #handlerByType = new Map<string, HostHandler>()
  #isClosed = false

  get names (): string[] { return [...this.shapes.keys()] }

  /** @throws FST_WS_CHANNEL_DEFINE for a name that is taken or none, a schema that is none, and once the app is ready */
  define (type: string, definition: unknown): void {
    const fault = this.#fault(type, definition)
    if (fault !== undefined) throw new FST_WS_CHANNEL_DEFINE(type, fault)
    // The handler is a function, and takes what the schema lets through; whether that is one, whoever compiles it finds out.
    const { schema, handler } = definition as { schema: object, handler: HostHandler }
    try {
      this.shapes.set(type, hostFrameShape(schema))
    } catch (err) {
      throw new FST_WS_CHANNEL_DEFINE(type, `its schema cannot be used: ${String(err)}`)
    }
    this.schemas.set(type, schema)
    this.#handlerByType.set(type, handler)
  }

  /** From now on clients are told which types there are. */
  close (): void {
    this.#isClosed = true
  }

  handlerOf (type: string): HostHandler | undefined {
    return this.#handlerByType.get(type)
  }

  #fault (type: unknown, definition: unknown): string | undefined {
    if (this.#isClosed) return 'define types before the app is ready'
    if (!isTypeName.Check(type)) return `a type is a string of 1 to ${MAX_NAME_LENGTH} characters without control characters`
    // A client tells an answer from the protocol's own frames by its type.
    if ([...CLIENT_FRAME_TYPES, ...Object.keys(serverFrameSchemas)].includes(type)) return 'this is a type of the protocol itself'
    if (this.shapes.has(type)) return 'it is defined already'
    if (typeof definition !== 'object' || definition === null) return 'it needs an object of its schema and its handler'
    return 'handler' in definition && typeof definition.handler === 'function' ? undefined : 'its handler must be a function'
  }
}
