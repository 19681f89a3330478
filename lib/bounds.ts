/**
 * The numbers of an options object, each at its default where it is not given.
 * @param what whose options these are, for the errors
 * @param others names of options that are no numbers
 * @throws RangeError for a number that is not at least 1, TypeError for what is no number or no option at all, and for no object
 */
export function boundsOf<Bounds extends Readonly<Record<string, number>>> (
  what: string, defaults: Bounds, given: unknown, others: readonly string[]
): Bounds {
  if (typeof given !== 'object' || given === null) throw new TypeError(`${what} takes its options as an object, not ${String(given)}`)
  const bounds: Record<string, number> = { ...defaults }
  for (const [name, value] of Object.entries(given) as Array<[string, unknown]>) {
    if (value === undefined || others.includes(name)) continue
    if (!Object.hasOwn(defaults, name)) {
      throw new TypeError(`${what} has no option ${name}; it takes ${[...Object.keys(defaults), ...others].join(', ')}`)
    }
    if (typeof value !== 'number') throw new TypeError(`${name} of ${what} must be a number of at least 1, not ${JSON.stringify(value)}`)
    // Not `value < 1`, which NaN would pass.
    if (!(value >= 1)) throw new RangeError(`${name} of ${what} must be at least 1, not ${value}`)
    bounds[name] = value
  }
  return bounds as Bounds
}

/**
 * As `boundsOf`, for what is handed on to a database: whole numbers only.
 * @throws RangeError also for a number that is not whole
 */
export function wholeBoundsOf<Bounds extends Readonly<Record<string, number>>> (
  what: string, defaults: Bounds, given: unknown, others: readonly string[]
): Bounds {
  const bounds = boundsOf(what, defaults, given, others)
  for (const [name, value] of Object.entries(bounds)) {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${name} of ${what} must be a whole number, not ${value}`)
  }
  return bounds
}
