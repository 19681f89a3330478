import { setImmediate as tick } from 'node:timers/promises'

import { ManualClock } from '../helpers/manual-clock.js'
import { act } from './actions.js'
import { checkLeftovers, openBench, passTime, type Bench, type Plant } from './bench.js'
import { checkAtEnd } from './checks.js'
import type { Client } from './client.js'
import { HostReader } from './host-reader.js'
import type { Report } from './report.js'
import { scenarioOf } from './scenario.js'
import { watched } from './watched.js'

export interface SeedOptions {
  plant?: Plant
  trace?: (line: string) => void
  /** A run that takes longer is stuck. */
  patienceMs?: number
  /** Waits for nothing any more once a check has failed. */
  stopsAtFault?: boolean
}

/** Runs one seed from an app of its own to its end. Reports what it finds, and never rejects. */
export async function runSeed (seed: number, options: SeedOptions = {}): Promise<Report> {
  return await watched(options.trace, (report) => run(seed, report, options))
}

async function run (seed: number, report: Report, { plant = {}, patienceMs = 60_000, stopsAtFault = false }: SeedOptions): Promise<void> {
  const scenario = scenarioOf(seed)
  plant.scenario?.(scenario)
  const clock = new ManualClock()
  const giveUpAt = performance.now() + patienceMs
  let hasEnded = false
  const isOver = (): boolean => performance.now() > giveUpAt || (stopsAtFault && report.faultCount > 0)
  const bench = await openBench(seed, scenario, report, plant, clock, isOver)
  const time = passTime(clock, scenario.stepMs, () => hasEnded)
  const reader = new HostReader(bench)
  try {
    await Promise.all(bench.clients.map((client) => act(client, scenario.steps, hostOf(bench))))
    await settle(bench)
    await checkAtEnd(bench, reader)
  } finally {
    await reader.close()
    await Promise.all(bench.clients.map((client) => client.close()))
    await checkLeftovers(bench)
    await bench.app.close()
    hasEnded = true
    await time
  }
}

function hostOf ({ app }: Bench): Parameters<typeof act>[2] {
  return { publish: async (session, name, data) => { await app.channel.publish(session, name, data) } }
}

/** All come back, and wait until everything is answered and told. */
async function settle (bench: Bench): Promise<void> {
  const { clients, truth, isOver, report } = bench
  await Promise.all(clients.map((client) => client.settle()))
  const isToldAll = ({ wire }: Client): boolean => wire !== undefined && !wire.isClosed && wire.isQuiet
  const isQuiet = (): boolean => clients.every(isToldAll) && truth.openTurns().length === 0
  while (!isOver()) {
    // One that was cut off while it settled comes back again.
    for (const client of clients) if (client.wire?.isClosed === true) await client.settle()
    for (const client of clients) if (client.wire !== undefined) for (const chat of client.unanswered(client.wire)) client.wire.chat(chat)
    if (isQuiet()) return
    await tick()
  }
  for (const { name, wire, recent, link } of clients) {
    const state = `${wire?.describe() ?? 'a connection'}, ${link?.describe() ?? 'no link'}`
    if (wire?.isQuiet !== true) report.fault('stuck', `${name} waits for ${state}; last: ${recent.slice(-8).join(' | ')}`)
  }
  for (const { key, chat } of truth.openTurns()) report.fault('stuck', `no end of ${chat.turnId} in ${JSON.stringify(key)}`)
}
