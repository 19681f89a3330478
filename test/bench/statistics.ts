export function median (values: readonly number[]): number {
  return percentile(values, 0.5)
}

/** @param share from 0 to 1 */
export function percentile (values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}

/**
 * What each round's value is in units of its reference. None where a round has nothing to compare with: memory that did
 * not grow, or shrank, in what was measured.
 */
export function ratiosOf (values: number[], references: number[]): number[] {
  return references.every((reference) => reference > 0) ? values.map((value, i) => value / (references[i] ?? NaN)) : []
}
