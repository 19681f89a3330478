import type { EndedTurn, NewEntry, StoredChat, TurnEnd } from '../journal.js'

/** What a script tells all who read a session, and keeps of what has a number. */
export interface Message {
  /** +1 with each message of a session. */
  version: number
  epoch: string
  /** Of the first entry in it. */
  seq: number
  body: MessageBody
}

export type MessageBody =
  | { kind: 'entries', turnId: string | undefined, entries: readonly NewEntry[], hasWaited: boolean }
  | { kind: 'started', chat: StoredChat }
  | { kind: 'queued', chat: StoredChat }
  | { kind: 'retracted', turnId: string }
  | { kind: 'forgotten' }

/** Entries as they are written: short, since there is one such text for each append. */
export function encodeEntries (turnId: string, entries: readonly NewEntry[]): string {
  return JSON.stringify({ i: turnId, e: entries.map(packed) })
}

/** The same without what need not be told once it is no longer held; '' where nothing is left. */
export function encodeKept (entries: readonly NewEntry[]): string {
  const isKept = ({ kind }: NewEntry): boolean => kind === 'text' || kind === 'message'
  return entries.some(isKept) ? JSON.stringify(entries.map((entry) => isKept(entry) ? packed(entry) : 0)) : ''
}

/** An event that belongs to no turn. */
export function encodePublished (name: string, json: string): string {
  return JSON.stringify({ e: [packed({ kind: 'event', name, json })] })
}

/** @throws SyntaxError, TypeError for what no script has told */
export function decodeMessage (text: string): Message {
  // Before the body is how many entries it has, for scripts, and a number that nodes of an earlier version look for.
  const [version, epoch, seq, , , body] = JSON.parse(text) as [number, string, number, number, number, PackedBody]
  if (![version, seq].every(Number.isSafeInteger)) throw new TypeError('a message has no place')
  return { version, epoch, seq, body: bodyOf(body) }
}

/** What a turn has said, of the lines that Redis keeps. */
export function decodeKept (lines: string): Array<{ seq: number, entry: Extract<NewEntry, { kind: 'text' | 'message' }> }> {
  return lines.split('\n').filter((line) => line !== '').flatMap((line) => {
    const space = line.indexOf(' ')
    const first = Number(line.slice(0, space))
    const entries = JSON.parse(line.slice(space + 1)) as Array<Packed | 0>
    return entries.flatMap((each, index) => {
      const entry = each === 0 ? undefined : unpacked(each)
      return entry?.kind === 'text' || entry?.kind === 'message' ? [{ seq: first + index, entry }] : []
    })
  })
}

/** How a turn ended, as its claim keeps it: without the braces, since the script adds the place. */
export function encodeEnded ({ content, ...end }: TurnEnd): string {
  return JSON.stringify({ end, isWhole: content !== undefined }).slice(1, -1)
}

export function decodeClaim (text: string): { hash: string, ended: EndedTurn | undefined } {
  const [hash = '', ended] = text.split('\n')
  return { hash, ended: ended === undefined || ended === '' ? undefined : JSON.parse(ended) as EndedTurn }
}

function bodyOf (body: PackedBody): MessageBody {
  if (body.s !== undefined) return { kind: 'started', chat: body.s }
  if (body.q !== undefined) return { kind: 'queued', chat: body.q }
  if (body.x !== undefined) return { kind: 'retracted', turnId: body.x }
  if (body.e !== undefined) return { kind: 'entries', turnId: body.i, entries: body.e.map(unpacked), hasWaited: body.w === 1 }
  if (body.z === 1) return { kind: 'forgotten' }
  throw new TypeError('a message says nothing')
}

function packed (entry: NewEntry): Packed {
  switch (entry.kind) {
    case 'text': return ['t', entry.content]
    case 'message': return ['m', entry.content]
    case 'event': return ['v', entry.name, entry.json]
    case 'end': return ['d', entry.end]
  }
}

function unpacked (entry: Packed): NewEntry {
  switch (entry[0]) {
    case 't': return { kind: 'text', content: entry[1] }
    case 'm': return { kind: 'message', content: entry[1] }
    case 'v': return { kind: 'event', name: entry[1], json: entry[2] }
    case 'd': return { kind: 'end', end: entry[1] }
  }
}

type Packed = ['t', string] | ['m', string] | ['v', string, string] | ['d', TurnEnd]

interface PackedBody {
  i?: string
  e?: Packed[]
  w?: 1
  s?: StoredChat
  q?: StoredChat
  x?: string
  z?: 1
}
