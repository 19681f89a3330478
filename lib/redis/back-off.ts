const FIRST_MS = 50
const LONGEST_MS = 2_000

/**
 * How long to wait before the attempt of that number, from 0, in milliseconds. Half of it is by chance, so that nodes do not all come back
 * at once.
 */
export function backOffMs (attempt: number): number {
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16))
  return longest / 2 + Math.random() * longest / 2
}
