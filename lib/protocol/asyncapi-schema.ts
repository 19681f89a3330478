import { MAX_NAME_LENGTH } from './names.js'

/** A JSON Schema, as plain JSON. */
export type JsonSchema = Record<string, unknown>

/** What a document says of the frames of a host-defined type. */
export interface HostPayload {
  payload: JsonSchema
  /** The host's schema itself, where the payload or the schema refers to it: it belongs at `pointer`. */
  schema: JsonSchema | undefined
}

const NAME = { type: 'string', minLength: 1, maxLength: MAX_NAME_LENGTH, description: 'Given back in the answer' }

/** Keywords under which every branch speaks about the same frame. */
const COMBINERS: readonly string[] = ['allOf', 'anyOf', 'oneOf']
/** Keywords that say nothing about which fields there may be, and those by which an object does. */
const NEUTRAL: readonly string[] = ['title', 'description', '$comment', 'deprecated']
const OBJECT: readonly string[] = ['type', 'properties', 'required', 'additionalProperties']
/** Of frames without their `type`, or only of use where the schema itself stands. */
const DROPPED: readonly string[] = ['examples', 'default', 'definitions']

/** Keywords of JSON Schema 2020-12 that have other names in draft 07, which AsyncAPI is made of. */
const OLDER_NAME_BY_KEYWORD: ReadonlyMap<string, string> = new Map([['$defs', 'definitions']])

/**
 * The payload of a host-defined type: what its schema says, and the `type` and `id` that every frame may have.
 * @param pointer where in the document the host's schema will be, should anything refer to it: `#/components/schemas/…`
 */
export function hostPayload (type: string, schema: object, pointer: string): HostPayload {
  const { body, hasReferences } = movedTo(schema, pointer)
  const payload = withEnvelope(type, body) ?? besideEnvelope(type, body)
  return { payload, schema: hasReferences ? body : undefined }
}

/** The frame as one object, or several to choose from; `undefined` for a schema that would not let our fields in. */
function withEnvelope (type: string, schema: JsonSchema): JsonSchema | undefined {
  const kept = Object.entries(schema).filter(([keyword]) => !DROPPED.includes(keyword))
  const said = kept.map(([keyword]) => keyword).filter((keyword) => !keyword.startsWith('x-'))
  if (said.some((keyword) => COMBINERS.includes(keyword))) {
    if (said.some((keyword) => ![...COMBINERS, ...NEUTRAL, 'type'].includes(keyword))) return undefined
    const combined = kept.map(([keyword, value]) => [keyword, COMBINERS.includes(keyword) ? branches(type, value) : value] as const)
    return combined.some(([, value]) => value === undefined) ? undefined : Object.fromEntries(combined)
  }
  const { properties = {}, required, additionalProperties } = schema
  const isPlain = said.every((keyword) => OBJECT.includes(keyword) || NEUTRAL.includes(keyword))
  if (!isPlain || !isObject(properties) || isObject(additionalProperties)) return undefined
  const others = Array.isArray(required) ? required.filter((name) => name !== 'type') as unknown[] : []
  return {
    ...Object.fromEntries(kept),
    type: 'object',
    properties: { ...without(properties, 'type'), ...envelope(type, properties['id']) },
    required: ['type', ...others]
  }
}

function branches (type: string, schemas: unknown): JsonSchema[] | undefined {
  const merged = Array.isArray(schemas) ? schemas.map((schema) => isObject(schema) ? withEnvelope(type, schema) : undefined) : []
  const found = merged.filter((schema) => schema !== undefined)
  return found.length === merged.length ? found : undefined
}

function envelope (type: string, id: unknown = NAME): JsonSchema {
  return { type: { type: 'string', const: type }, id }
}

/** What cannot be said as one schema is said beside it. */
function besideEnvelope (type: string, schema: JsonSchema): JsonSchema {
  return {
    type: 'object',
    description: 'The fields beside `type` and `id`, as one object, are as `x-fields` says',
    properties: envelope(type),
    required: ['type'],
    'x-fields': schema
  }
}

/**
 * A copy whose references still lead where they did when it stands elsewhere: in a document they start from its root,
 * and names by `$id` would be addresses to fetch.
 */
function movedTo (schema: object, pointer: string): { body: JsonSchema, hasReferences: boolean } {
  // Without the symbols by which TypeBox knows its schemas.
  const body = JSON.parse(JSON.stringify(schema)) as JsonSchema
  const pointerById = new Map<string, string>()
  collectIds(body, pointer, pointerById)
  let hasReferences = false
  const moved = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(moved)
    if (!isObject(value)) return value
    return Object.fromEntries(Object.entries(value).flatMap(([key, item]) => {
      if ((key === '$id' || key === '$schema') && typeof item === 'string') return []
      if (key !== '$ref' || typeof item !== 'string') return [[OLDER_NAME_BY_KEYWORD.get(key) ?? key, moved(item)]]
      hasReferences = true
      return [[key, target(item, pointer, pointerById)]]
    }))
  }
  return { body: moved(body) as JsonSchema, hasReferences }
}

function target (reference: string, pointer: string, pointerById: ReadonlyMap<string, string>): string {
  const [id = '', rest = ''] = reference.split('#')
  const base = id === '' ? pointer : pointerById.get(id)
  return base === undefined ? reference : base + rest.replaceAll(/\/\$defs\//g, '/definitions/')
}

function collectIds (value: unknown, pointer: string, pointerById: Map<string, string>): void {
  if (typeof value !== 'object' || value === null) return
  const id: unknown = Reflect.get(value, '$id')
  if (typeof id === 'string') pointerById.set(id, pointer)
  for (const [key, item] of Object.entries(value)) {
    collectIds(item, `${pointer}/${(OLDER_NAME_BY_KEYWORD.get(key) ?? key).replaceAll('~', '~0').replaceAll('/', '~1')}`, pointerById)
  }
}

function without (properties: JsonSchema, name: string): JsonSchema {
  return Object.fromEntries(Object.entries(properties).filter(([key]) => key !== name))
}

function isObject (value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
