import { Kind, type TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Ajv } from 'ajv'

/** The first fault of a value: where it is, as a JSON pointer, and what it breaks. */
export interface Fault {
  path: string
  rule: string
}

/**
 * Compiles a schema of the host's: one of `@sinclair/typebox` by its own compiler, any other JSON Schema by Ajv. The
 * two must not meet each other's schemas: TypeBox refuses what it has not made, and Ajv does not know its kinds.
 * @throws Error when the schema is none
 */
export function compileCheck (schema: object): (value: unknown) => Fault | undefined {
  return isTypeBox(schema) ? typeBoxCheck(schema) : ajvCheck(schema)
}

function typeBoxCheck (schema: TSchema): (value: unknown) => Fault | undefined {
  const check = TypeCompiler.Compile(schema)
  return (value) => {
    if (check.Check(value)) return undefined
    const error = check.Errors(value).First()
    return { path: error?.path ?? '', rule: error?.message ?? 'not valid' }
  }
}

function ajvCheck (schema: object): (value: unknown) => Fault | undefined {
  const validate = new Ajv({ strict: false }).compile(schema)
  return (value) => {
    if (validate(value)) return undefined
    const error = validate.errors?.[0]
    return { path: error?.instancePath ?? '', rule: error?.message ?? 'not valid' }
  }
}

function isTypeBox (schema: object): schema is TSchema {
  return Kind in schema
}
