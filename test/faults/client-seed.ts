import { setImmediate as tick } from 'node:timers/promises'

import { ChannelClientError } from '../../lib/client/index.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { checkLeftovers, openBench, OWNERS, passTime, sessionsOf, type Bench } from './bench.js'
import { ChannelUser, type Reading } from './channel-user.js'
import { checkTurn } from './checks.js'
import { quoted } from './feed-view.js'
import type { Report } from './report.js'
import type { SeedOptions } from './run-seed.js'
import { scenarioOf } from './scenario.js'
import { watched } from './watched.js'

/** Runs one seed in which all clients are the package's own. Reports what it finds, and never rejects. */
export async function runClientSeed (
  seed: number, { trace, patienceMs = 30_000, isSse = false }: ClientSeedOptions = {}
): Promise<Report> {
  return await watched(trace, (report) => run(seed, report, patienceMs, isSse))
}

export interface ClientSeedOptions extends SeedOptions {
  /** They talk over HTTP, and are told by server-sent events. */
  isSse?: boolean
}

async function run (seed: number, report: Report, patienceMs: number, isSse: boolean): Promise<void> {
  const scenario = scenarioOf(seed)
  const { clientsPerOwner } = scenario
  const clock = new ManualClock()
  const giveUpAt = performance.now() + patienceMs
  const planned = { ...scenario, clientsPerOwner: 0, hasRest: isSse }
  const bench = await openBench(seed, planned, report, {}, clock, () => performance.now() > giveUpAt)
  const users = OWNERS.flatMap((owner) => Array.from({ length: clientsPerOwner }, (_, index) => (
    new ChannelUser(bench, owner, index, sessionsOf(owner, scenario), clock, isSse))))
  let hasEnded = false
  const time = passTime(clock, scenario.stepMs, () => hasEnded)
  try {
    for (const user of users) await user.start()
    await Promise.all(users.map((user) => user.act(scenario.steps * 2)))
    for (const user of users) user.settle()
    while (!bench.isOver() && !(users.every(({ isQuiet }) => isQuiet) && bench.truth.openTurns().length === 0)) {
      for (const user of users) user.hurry()
      await tick()
    }
    check(bench, users)
  } finally {
    for (const user of users) user.close()
    await checkLeftovers(bench)
    await bench.app.close()
    hasEnded = true
    await time
  }
}

function check (bench: Bench, users: ChannelUser[]): void {
  const { truth, report } = bench
  for (const session of truth.all()) for (const turn of session.turns.values()) checkTurn(bench, session, turn)
  for (const { key, chat } of truth.openTurns()) report.fault('stuck', `no end of ${chat.turnId} in ${JSON.stringify(key)}`)
  for (const user of users) {
    if (!user.isQuiet) report.fault('stuck', user.describe())
    for (const fault of user.faults) report.fault('answers', `${user.name}: ${fault}`)
    for (const reading of user.readings) checkReading(bench, user, reading)
  }
}

/** What a caller has read of a turn, against what really happened in it. */
function checkReading (bench: Bench, { name }: ChannelUser, reading: Reading): void {
  const { truth, report } = bench
  const { turn, sessionKey, isOwn, text, events, end } = reading
  const about = `${name}, ${isOwn ? 'own' : 'other'} ${turn.id} '${turn.message}'`
  if (end === undefined) return
  report.count('duplicates', events.filter((event) => event.type === 'ack' && event.status === 'duplicate').length)
  const session = truth.session(sessionKey)
  const real = session.turns.get(turn.id)
  if (events.map((event) => event.type === 'text' ? event.content : '').join('') !== text) report.fault('text', `${about} has another text in its events`)
  if ('error' in end) return checkFailure(bench, about, reading, end.error)
  if (end.text !== text) report.fault('text', `${about} was iterated as ${quoted(text)}, finished as ${quoted(end.text)}`)
  if (real === undefined) {
    if (end.finishReason !== 'aborted' || text !== '') report.fault('answers', `${about} ended ${quoted(end)}, and was never taken`)
    return
  }
  if (real.end?.error !== undefined) report.fault('ends', `${about} ended with ${quoted(real.end)}, told was ${quoted(end)}`)
  if (real.end?.finishReason !== end.finishReason) report.fault('ends', `${about} ended ${quoted(real.end)}, told was ${end.finishReason}`)
  const exact = real.end?.content ?? session.textOf(real)
  // Where a turn is told from the history, whole messages stand between its text.
  const hasMessages = session.entriesOf(real).some(({ kind }) => kind === 'message')
  if (text !== exact && !(hasMessages && text === session.answerOf(real))) {
    report.fault('text', `${about} was read as ${quoted(text)}, it was ${quoted(exact)}`)
  }
  checkEvents(bench, about, reading)
}

function checkFailure ({ truth, report }: Bench, about: string, reading: Reading, error: unknown): void {
  const { turn, sessionKey, isOwn, isStreamed, text } = reading
  const session = truth.session(sessionKey)
  const real = session.turns.get(turn.id)
  if (!(error instanceof ChannelClientError)) {
    if (!String(error).includes('given up')) report.fault('answers', `${about} failed with ${String(error)}`)
    return
  }
  const { code } = error
  const exact = real === undefined ? '' : session.textOf(real)
  if (!exact.startsWith(text) && text !== (real === undefined ? '' : session.answerOf(real))) {
    report.fault('text', `${about} failed with ${code} and ${quoted(text)}, it was ${quoted(exact)}`)
  }
  if (real?.end?.error?.code === code) {
    if (isStreamed && text.length < exact.length) report.fault('text', `${about} lost the end of its text: ${quoted(text)} of ${quoted(exact)}`)
    return
  }
  switch (code) {
    case 'SESSION_BUSY':
    case 'QUEUE_FULL':
    case 'RATE_LIMITED':
      if (real !== undefined) report.fault('answers', `${about} was refused with ${code}, and taken`)
      return
    case 'CLOSED':
      if (isOwn) report.fault('answers', `${about} was closed`)
      return
    case 'OUTCOME_UNKNOWN':
      // Of what others have said nothing can be sent again.
      if (isOwn) report.fault('answers', `${about} had an unknown outcome: ${String(error.cause)}, it was ${quoted(real?.end)}`)
      return
    case 'TEXT_CHANGED':
      if (real !== undefined && session.entriesOf(real).some(({ kind }) => kind === 'message')) return
      return report.fault('text', `${about} changed its text: ${quoted(text)}, it was ${quoted(exact)}`)
    default:
      report.fault('ends', `${about} failed with ${code}, it was ${quoted(real?.end)}`)
  }
}

/** Each once, in order, as it was. */
function checkEvents ({ truth, report }: Bench, about: string, { turn, sessionKey, events }: Reading): void {
  const session = truth.session(sessionKey)
  const real = session.turns.get(turn.id)
  if (real === undefined) return
  const entryBySeq = new Map(session.entriesOf(real).map((entry) => [entry.seq, entry]))
  let last = 0
  for (const event of events) {
    if (event.type !== 'event') continue
    const entry = entryBySeq.get(event.seq)
    if (event.seq <= last) report.fault('order', `${about} was told ${quoted(event)} after ${last}`)
    if (entry?.kind !== 'event' || entry.json !== JSON.stringify(event.data)) report.fault('text', `${about} was told ${quoted(event)}, it was ${quoted(entry)}`)
    last = event.seq
  }
}
