/** What is checked. */
export type Check =
  | 'text' | 'ends' | 'order' | 'cut' | 'once' | 'history' | 'answers' | 'leftovers' | 'schema' | 'owner' | 'stuck' | 'log' | 'script'

export interface Fault {
  check: Check
  text: string
}

const FAULTS_KEPT = 12
const NO_TOTALS = {
  connections: 0, cuts: 0, lostConnections: 0, closedByServer: 0, freezes: 0, chats: 0, plainChats: 0, acks: 0, refusals: 0,
  duplicates: 0, resent: 0, conflicts: 0, cancels: 0, cancelled: 0, interrupts: 0, subscribes: 0, recovered: 0, notRecovered: 0,
  unsubscribes: 0, unasked: 0, merged: 0, retold: 0, published: 0, turns: 0, completed: 0, aborted: 0, failed: 0, timedOut: 0,
  withdrawn: 0, abandoned: 0, frames: 0, historyPages: 0, epochs: 0
}

export type Totals = typeof NO_TOTALS

/** What a run has found: faults by the check that found them, and how often what has happened. */
export class Report {
  readonly faults: Fault[] = []
  readonly totals: Totals = { ...NO_TOTALS }
  readonly trace: ((line: string) => void) | undefined
  faultCount = 0

  constructor (trace?: (line: string) => void) {
    this.trace = trace
  }

  fault (check: Check, text: string): void {
    this.faultCount++
    this.trace?.(`FAULT ${check}: ${text}`)
    if (this.faults.length < FAULTS_KEPT) this.faults.push({ check, text: shortened(text) })
  }

  count (what: keyof Totals, by = 1): void {
    this.totals[what] += by
  }

  /** Which checks have found something. */
  get checks (): Check[] {
    return [...new Set(this.faults.map(({ check }) => check))]
  }

  add ({ totals }: Report): void {
    for (const what of Object.keys(totals) as Array<keyof Totals>) this.totals[what] += totals[what]
  }
}

export function shortened (text: string, most = 900): string {
  return text.length <= most ? text : `${text.slice(0, most * 2 / 3)} … ${text.slice(-most / 3)}`
}
