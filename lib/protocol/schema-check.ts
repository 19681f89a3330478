import { Kind, type TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Ajv } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'

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
    return fault(error?.path, error?.message)
  }
}

/** Zod and TypeBox 1 write the 2020 draft, which the draft of Ajv's default does not know. */
function ajvCheck (schema: object): (value: unknown) => Fault | undefined {
  const draft: unknown = Reflect.get(schema, '$schema')
  const isModern = typeof draft === 'string' && draft.includes('2020-12')
  const validate = (isModern ? new Ajv2020({ strict: false }) : new Ajv({ strict: false })).compile(schema)
  // Its answer would be a promise: every value would pass, and a bad one would end the process.
  if ('$async' in validate) throw new Error('the schema is asynchronous (`$async`)')
  return (value) => {
    if (validate(value)) return undefined
    const error = validate.errors?.[0]
    return fault(error?.instancePath, error?.message)
  }
}

/** By their types, neither library has to name a fault. */
function fault (path = '', rule = 'not valid'): Fault {
  return { path, rule }
}

function isTypeBox (schema: object): schema is TSchema {
  return Kind in schema
}
