import { setImmediate as tick } from 'node:timers/promises'

import type { SessionMessage } from '../../lib/sessions/session-store.js'
import type { Frame } from '../helpers/channel-client.js'
import type { Client } from './client.js'
import { quoted, type SessionView } from './feed-view.js'
import type { HostReader } from './host-reader.js'
import type { Bench } from './bench.js'
import { scriptOf, TOO_LATE } from './scripts.js'
import type { SessionTruth, TurnTruth } from './truth.js'
import type { Wire } from './wire.js'

/** Looks at all that is left when every turn has ended and every client has been told. */
export async function checkAtEnd (bench: Bench, reader: HostReader): Promise<void> {
  const { truth, clients, report } = bench
  for (const session of truth.all()) for (const turn of session.turns.values()) checkTurn(bench, session, turn)
  checkChats(bench)
  for (const { name, sessions, wire } of clients) {
    // Where few sessions fit, one may have no room to be followed.
    for (const [text, view] of sessions) checkTexts(bench, name, view, wire?.feeds.get(text)?.isWhole === true)
  }
  if (reader.view !== undefined) checkTexts(bench, 'the host', reader.view.session, reader.view.isWhole)
  const seen = new Set<string>()
  for (const client of clients) {
    const { wire, sessions } = client
    if (wire === undefined || seen.has(client.owner)) continue
    seen.add(client.owner)
    for (const view of sessions.values()) await checkHistory(bench, client, wire, view)
  }
  report.count('epochs', new Set(truth.all().flatMap(({ turns }) => [...turns.values()].map(({ epoch }) => epoch))).size)
}

/** What the journal was given against what the executor was to say. */
export function checkTurn ({ seed, calls, report, scenario }: Bench, session: SessionTruth, turn: TurnTruth): void {
  const { chat: { turnId, message }, end, startSeq, isStopped } = turn
  const name = `${JSON.stringify(session.key)} ${turnId}`
  report.count('turns')
  if (end === undefined) return report.fault('ends', `${name} never ended`)
  const called = calls.get(message) ?? 0
  if (turn.accepts > 1) report.fault('once', `${name} was accepted ${turn.accepts} times`)
  if (called > 1 || (called === 1 && startSeq === undefined)) report.fault('once', `${name} ran ${called} times, started at ${startSeq ?? 'no time'}`)
  const ends = session.between(turn.epoch, 0, Infinity).filter((entry) => entry.turnId === turnId && entry.kind === 'end')
  if (ends.length !== 1) report.fault('ends', `${name} has ${ends.length} ends`)
  const after = session.between(turn.epoch, turn.endSeq ?? 0, Infinity).filter((entry) => entry.turnId === turnId)
  if (after.length > 0) report.fault('ends', `${name} has entries after its end: ${quoted(after)}`)
  const script = scriptOf(seed, session.key.owner, message)
  const text = end.content ?? session.textOf(turn)
  if (text.includes(TOO_LATE)) report.fault('ends', `${name} went on after it was stopped`)
  const reason = end.error?.code ?? end.finishReason
  if (turn.isCancelled === true && reason !== 'aborted') report.fault('ends', `${name} was said to be cancelled, and ended with ${quoted(end)}`)
  if (startSeq === undefined) return report.count('withdrawn')
  if (reason === 'aborted') {
    report.count('aborted')
    if (!isStopped && scenario.options.onDisconnect === 'cancel') report.count('abandoned')
    else if (!isStopped) report.fault('ends', `${name} was aborted, and nobody had asked for it`)
  } else if (reason === 'ANSWER_TOO_LARGE') report.count('failed')
  else if (reason !== (script.end === 'stop' ? end.finishReason : script.end) || end.finishReason === 'aborted') {
    return report.fault('script', `${name} was to end with ${script.end}, and did with ${quoted(end)}`)
  } else {
    report.count(script.end === 'stop' ? 'completed' : script.end === 'AGENT_TIMEOUT' ? 'timedOut' : 'failed')
    if (text !== script.text) report.fault('script', `${name} was to say ${quoted(script.text)}, and said ${quoted(text)}`)
  }
  if (!script.text.startsWith(text.replace(/\ufffd$/, ''))) report.fault('script', `${name} said ${quoted(text)}, no part of ${quoted(script.text)}`)
}

/** Every chat was taken or refused, and a refused one has left nothing. */
function checkChats ({ books, truth, calls, report, clients }: Bench): void {
  for (const book of books.values()) {
    for (const { id, key, message, acks, refusals, lost } of book.values()) {
      const turn = truth.known(key)?.turns.get(id)
      const name = `${JSON.stringify(key)} ${id} (${acks} acks, ${refusals} refusals, ${lost} lost)`
      if (acks > 0 && turn === undefined) report.fault('answers', `${name} was acknowledged, and never taken`)
      if (acks === 0 && lost === 0 && turn !== undefined) report.fault('answers', `${name} was refused, and taken`)
      if (acks + refusals === 0) report.fault('answers', `${name} was never answered`)
      if (turn === undefined && calls.has(message)) report.fault('answers', `${name} was refused, and ran`)
      if (calls.has(`${message}, or not`)) report.fault('once', `${name} ran with another body`)
    }
  }
  for (const { wire } of clients) {
    for (const message of wire?.lanes.refused ?? []) if (calls.has(message)) report.fault('answers', `${message} was refused, and ran`)
  }
}

export function checkTexts ({ truth, report }: Bench, reader: string, { key, turns }: SessionView, isFollowed: boolean): void {
  const session = truth.session(key)
  for (const [id, view] of turns) {
    const turn = session.turns.get(id)
    const name = `${reader}, ${JSON.stringify(key)} ${id}`
    if (turn === undefined) { report.fault('owner', `${name} is nobody's`); continue }
    if (view.end === undefined) {
      if (isFollowed) report.fault('ends', `${name} has no end`)
      continue
    }
    if (!view.isWhole || view.end === '(see the history)') continue
    const text = turn.end?.content ?? session.textOf(turn)
    if (view.text !== text) report.fault('text', `${name} put together ${quoted(view.text)}, it was ${quoted(text)}`)
    if (view.end !== turn.end?.finishReason) report.fault('ends', `${name} ended ${view.end}, it was ${quoted(turn.end)}`)
  }
}

async function checkHistory (bench: Bench, client: Client, wire: Wire, view: SessionView): Promise<void> {
  const { truth, report } = bench
  const session = truth.session(view.key)
  const told = await pages(bench, client, wire, view)
  const started = [...session.turns.values()].filter(({ startSeq }) => startSeq !== undefined)
  const askedAt = new Map(told.map(({ turnId, role }, index) => [`${role} ${turnId}`, index]))
  if (askedAt.size !== told.length) report.fault('history', `of ${JSON.stringify(view.key)} says a thing twice`)
  let expected = 0
  for (const turn of started) {
    const { chat: { turnId, message }, end } = turn
    const [question, answer] = ['user', 'assistant'].map((role) => told[askedAt.get(`${role} ${turnId}`) ?? -1])
    const text = session.answerOf(turn)
    expected += text === '' ? 1 : 2
    if (question?.content !== message) report.fault('history', `the question of ${turnId} is ${quoted(question)}`)
    if ((answer?.content ?? '') !== text) report.fault('history', `the answer of ${turnId} was ${quoted(text)}, kept is ${quoted(answer)}`)
    const isComplete = end?.error === undefined && end?.finishReason !== 'aborted'
    if (answer !== undefined && answer.complete !== isComplete) report.fault('history', `${quoted(end)} was kept as ${quoted(answer)}`)
  }
  if (told.length !== expected) report.fault('history', `of ${JSON.stringify(view.key)} has ${told.length} messages, and not ${expected}`)
}

async function pages ({ isOver }: Bench, client: Client, wire: Wire, view: SessionView): Promise<SessionMessage[]> {
  const told: SessionMessage[] = []
  const limit = 1 + client.random.below(40)
  const page = (before?: string): Promise<Frame> => new Promise((resolve, reject) => {
    client.history(wire, view, limit, resolve, before)
    void until(() => wire.requests.size === 0 || wire.isClosed || isOver()).then(() => { reject(new Error('no page of history came')) })
  })
  for (let frame = await page(); ; frame = await page(frame.before as string)) {
    told.unshift(...frame.messages as SessionMessage[])
    if (frame.before === undefined) return told
  }
}

async function until (isSo: () => boolean): Promise<void> {
  while (!isSo()) await tick()
}
