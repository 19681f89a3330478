import type { Awaitable } from '../awaitable.js'

/** One test of a suite: plain data, for whichever runner there is. */
export interface ConformanceTest {
  /** The sentences it shows, and what it shows of them. */
  name: string
  /** Numbers of MUST sentences of the contract; none for what no single sentence says. */
  must: readonly number[]
  /** Rejects when the implementation breaks one of the sentences; the message says which. */
  run: () => Promise<void>
}

export interface ConformanceOptions {
  /** How long one test may take before it is said to wait in vain, in milliseconds. @default 10_000 */
  patienceMs?: number | undefined
}

/** A test before it is given something to test. */
export interface ConformanceCase<B extends Bench> {
  must: readonly number[]
  title: string
  run: (bench: B) => Promise<void>
}

/** What one test works with: made anew for each, and closed after it. */
export interface Bench {
  /** Said when the test's patience ends. */
  readonly waitingFor: string
  close(): Awaitable<void>
}

export function testOf<B extends Bench> (
  contract: string, { must, title, run }: ConformanceCase<B>, makeBench: () => Awaitable<B>, { patienceMs = 10_000 }: ConformanceOptions
): ConformanceTest {
  const sentences = must.join(', ')
  return {
    name: must.length > 0 ? `${sentences}. ${title}` : title,
    must,
    async run () {
      const bench = await makeBench()
      try {
        await inTime(run(bench), patienceMs, bench)
      } catch (cause) {
        const broken = must.length > 0 ? `${contract} contract, sentence ${sentences}` : `${contract} contract`
        throw new Error(`${broken}: ${title}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
      } finally {
        await bench.close()
      }
    }
  }
}

/** Begins all calls before it waits for any of them. */
export async function together<T> (...calls: ReadonlyArray<() => Awaitable<T>>): Promise<T[]> {
  return Promise.all(calls.map(async (call) => call()))
}

export function times<T> (count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}

/** Fails loudly where a suite would else wait for ever. */
async function inTime (work: Promise<void>, patienceMs: number, bench: Bench): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => { reject(new Error(`after ${patienceMs} ms still waiting for ${bench.waitingFor}`)) }, patienceMs)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
