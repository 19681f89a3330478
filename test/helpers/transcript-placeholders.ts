const PLACEHOLDER = /^\$[a-z]+\d*$/

/** What `$epoch` and its like stand for in one run: bound at first sight, the same afterwards. */
export class Placeholders {
  readonly #valueByName = new Map<string, unknown>()

  /**
   * The expected value with its placeholders filled in; those that are free are bound to what stands at their place.
   * @throws Error when two names would stand for the same: what a transcript tells apart has to differ
   */
  match (expected: unknown, actual: unknown): unknown {
    return mapValues(expected, actual, (name, value) => this.#bind(name, value))
  }

  /** @throws Error for a placeholder that nothing has bound */
  fill (value: unknown): unknown {
    return mapValues(value, undefined, (name) => {
      if (!this.#valueByName.has(name)) throw new Error(`${name} stands for nothing yet`)
      return this.#valueByName.get(name)
    })
  }

  /** Makes values up for those that are free: for the side that has to. */
  invent (value: unknown): unknown {
    return this.match(value, readable(value))
  }

  #bind (name: string, value: unknown): unknown {
    if (this.#valueByName.has(name)) return this.#valueByName.get(name)
    // Nothing to bind it to: the comparison says what is wrong.
    if (typeof value !== 'string' && typeof value !== 'number') return name
    for (const [other, taken] of this.#valueByName) {
      if (taken === value) throw new Error(`${name} is the same as ${other}: ${JSON.stringify(value)}`)
    }
    this.#valueByName.set(name, value)
    return value
  }
}

/** A value with its placeholders as readers like to see them: `$epoch2` is `epoch-2`. */
export function readable (value: unknown): unknown {
  return mapValues(value, undefined, (name) => {
    const [, word = '', number = ''] = /^\$([a-z]+)(\d*)$/.exec(name) ?? []
    return `${word}-${number === '' ? '1' : number}`
  })
}

/** Walks both at once; keys stand in the order of the expected value. */
function mapValues (expected: unknown, actual: unknown, replace: (name: string, actual: unknown) => unknown): unknown {
  if (typeof expected === 'string') return PLACEHOLDER.test(expected) ? replace(expected, actual) : expected
  if (typeof expected !== 'object' || expected === null) return expected
  if (Array.isArray(expected)) return expected.map((item: unknown, index) => mapValues(item, childOf(actual, index), replace))
  return Object.fromEntries(Object.entries(expected).map(([key, item]) => [key, mapValues(item, childOf(actual, key), replace)]))
}

function childOf (value: unknown, key: string | number): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) as unknown : undefined
}
