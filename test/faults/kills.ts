import { setImmediate as tick } from 'node:timers/promises'

import { ManualClock } from '../helpers/manual-clock.js'
import { checkLeftovers, openBench, passTime, type Bench, type Plant } from './bench.js'
import { checkTexts, checkTurn } from './checks.js'
import type { Client } from './client.js'
import { CLEAN } from './fault-proxy.js'
import { Report } from './report.js'
import { scenarioOf } from './scenario.js'
import { scriptOf } from './scripts.js'
import type { Chat } from './wire.js'

/** What becomes of the turn, beside what happens to its reader. */
const FATES = ['stop', 'error', 'cancel', 'interrupt'] as const
type Fate = typeof FATES[number]

export interface Kills {
  report: Report
  /** Readers that were cut off before the end of their answer, by what became of the turn. */
  killed: Record<Fate, number>
  /** Those that had the exact text in the end. */
  exact: number
}

/** So many runs in one app. */
const RUNS_PER_APP = 50

/** Clients that are cut off at a random byte of an answer, come back, subscribe, and have the exact text in the end. */
export async function runKills (count: number, plant: Plant = {}): Promise<Kills> {
  const report = new Report()
  const kills: Kills = { report, killed: { stop: 0, error: 0, cancel: 0, interrupt: 0 }, exact: 0 }
  for (let seed = 1, left = count; left > 0; seed++, left -= RUNS_PER_APP) {
    let hasEnded = false
    const clock = new ManualClock()
    const giveUpAt = performance.now() + 120_000
    const scenario = { ...scenarioOf(seed), clientsPerOwner: 0 }
    delete scenario.journal.maxSessions
    scenario.options = { ...scenario.options, onBusy: 'queue', onDisconnect: 'continue', maxAnswerBytes: 1 << 22 }
    const bench = await openBench(seed, scenario, report, plant, clock, () => performance.now() > giveUpAt)
    const time = passTime(clock, scenario.stepMs, () => hasEnded)
    for (let run = 0; run < Math.min(left, RUNS_PER_APP); run++) await killOne(bench, kills, run)
    await checkLeftovers(bench)
    await bench.app.close()
    hasEnded = true
    await time
  }
  return kills
}

async function killOne (bench: Bench, kills: Kills, run: number): Promise<void> {
  const { app, seed, truth, report } = bench
  const fate = FATES[run % FATES.length] ?? 'stop'
  const key = { owner: 'a', agentId: 'main', sessionId: `k-${run}` }
  const client = bench.client('a', `a/k${run}`, [key])
  await client.start()
  const chat = chatOf(client, key, messageFor(seed, fate, run))
  const faults = report.faultCount
  const turn = (): ReturnType<typeof truth.turnOf> => truth.turnOf(chat.message)
  await cutOffMidway(client, chat, () => turn()?.end !== undefined)
  if (turn()?.end === undefined) kills.killed[fate]++
  for (let left = client.random.below(6); left > 0; left--) await tick()
  if (fate === 'cancel') await app.channel.cancel(key)
  if (fate === 'interrupt') await app.channel.startTurn({ ...key, message: `never mind ${run}`, onBusy: 'interrupt' })
  // Now and then it is cut off once more before it comes back for good.
  if (client.random.perMille(300)) await cutOffMidway(client, undefined, () => false)
  await client.settle()
  const isOver = (): boolean => turn() !== undefined && [...truth.session(key).turns.values()].every(({ end }) => end !== undefined)
  const isQuiet = (): boolean => client.wire?.isQuiet === true && isOver() && client.unanswered(client.wire).length === 0
  while (!isQuiet() && !bench.isOver()) {
    if (client.wire?.isClosed !== false) await client.settle()
    await tick()
  }
  const session = truth.session(key)
  const [view] = client.sessions.values()
  const made = turn()
  if (!isQuiet() || view === undefined || made === undefined) report.fault('stuck', `${fate} ${run}: ${client.wire?.describe() ?? 'no connection'}`)
  else {
    checkTurn(bench, session, made)
    checkTexts(bench, client.name, view, true)
    await checkHistory(bench, chat, view.turns.get(chat.id)?.text ?? '', view.turns.get(chat.id)?.end)
  }
  if (report.faultCount === faults) kills.exact++
  await client.close()
}

/** Sends a chat over a link that breaks at some byte of what comes back, and waits until it has. */
async function cutOffMidway (client: Client, chat: Chat | undefined, hasEnded: () => boolean): Promise<void> {
  const { random } = client
  const cutDownAfter = 150 + random.below(random.pick([400, 3_000, 12_000]))
  const wire = await client.connected({ ...CLEAN, cutDownAfter, maxChunk: random.pick([64, 1_500, 65_536]), window: 4_000 })
  if (wire === undefined) return
  if (chat !== undefined) wire.chat(chat)
  for (let left = 400; !wire.isClosed && !hasEnded() && left > 0; left--) await tick()
  client.cut()
  while (!wire.isClosed) await tick()
}

/** Where the feed could not go on, the text is in the history: it must be there, and be the same. */
async function checkHistory (
  { app, truth, report }: Bench, { id, key, message }: Chat, text: string, end: string | undefined
): Promise<void> {
  const turn = truth.turnOf(message)
  const [question, answer] = await app.sessionStore.turn(key, id)
  const kept = turn === undefined ? '' : truth.session(key).answerOf(turn)
  if (turn?.startSeq === undefined) return
  if (question?.content !== message || (answer?.content ?? '') !== kept) report.fault('history', `${message} was answered ${kept}, kept is ${answer?.content ?? 'nothing'}`)
  const isPlainText = !truth.session(key).entriesOf(turn).some(({ kind }) => kind === 'message')
  if (end !== '(see the history)' && isPlainText && text !== kept) report.fault('text', `${message} was read as ${text}, kept is ${kept}`)
}

function chatOf (client: Client, key: Chat['key'], message: string): Chat {
  const id = client.fresh('t')
  const { agentId, sessionId } = key
  const frame = { type: 'chat', id, agentId, sessionId, message }
  const chat: Chat = { id, key, by: client.name, message, isStreamed: true, frame, acks: 0, starts: 0, refusals: 0, lost: 0 }
  client.chats.set(id, chat)
  client.follows.add(JSON.stringify([key.owner, agentId, sessionId]))
  return chat
}

/** A question whose answer takes a while, and ends as it is meant to. */
function messageFor (seed: number, fate: Fate, run: number): string {
  for (let attempt = 0; ; attempt++) {
    const message = `${fate} ${run}.${attempt}`
    const { kind, steps, end } = scriptOf(seed, 'a', message)
    if (kind === 'async' && steps.length > 12 && end === (fate === 'error' ? 'AGENT_ERROR' : 'stop')) return message
  }
}
