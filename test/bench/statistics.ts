export function median (values: readonly number[]): number {
  return percentile(values, 0.5)
}

/** @param share from 0 to 1 */
export function percentile (values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}
