import { compileCheck, type Fault } from './schema-check.js'

/** A frame of a type that the host has defined: what its schema names, and the `id` to be given back. */
export interface HostFrame {
  type: string
  id?: string
  [field: string]: unknown
}

/** Reads the frames of one host-defined type. */
export interface HostFrameShape {
  read (raw: Readonly<Record<string, unknown>>): { frame: HostFrame } | { fault: Fault }
}

/**
 * `type` and `id` are the protocol's: the host's schema need not name them. As in any frame, fields that it does not
 * name are ignored; unless it says by `additionalProperties` or `patternProperties` that there are more, or has no
 * `properties` at all.
 * @throws Error when the schema is none
 */
export function hostFrameShape (schema: object): HostFrameShape {
  const check = compileCheck(schema)
  const named = fieldsOf(schema)
  return {
    read (raw) {
      const fields = Object.keys(raw).filter((field) => raw[field] !== undefined && (named?.has(field) ?? !isOurs(field)))
      const body = Object.fromEntries(fields.map((field) => [field, raw[field]]))
      const fault = faultOf(check, body)
      if (fault !== undefined) return { fault }
      // Whoever calls this has read the type, and checked the id if there is one.
      const frame: HostFrame = { type: raw['type'] as string, ...body }
      if (raw['id'] !== undefined) frame.id = raw['id'] as string
      return { frame }
    }
  }
}

/** A schema of the host's may compile, and yet not bear every value. */
function faultOf (check: (value: unknown) => Fault | undefined, body: unknown): Fault | undefined {
  try {
    return check(body)
  } catch {
    return { path: '', rule: 'cannot be checked' }
  }
}

function fieldsOf (schema: object): Set<string> | undefined {
  const properties: unknown = Reflect.get(schema, 'properties')
  const more: unknown = Reflect.get(schema, 'additionalProperties') ?? false
  if (typeof properties !== 'object' || properties === null || more !== false) return undefined
  return Reflect.get(schema, 'patternProperties') === undefined ? new Set(Object.keys(properties)) : undefined
}

function isOurs (field: string): boolean {
  return field === 'type' || field === 'id'
}
