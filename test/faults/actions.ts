import { setImmediate as tick } from 'node:timers/promises'

import type { Client } from './client.js'
import type { SessionView } from './feed-view.js'
import type { Chat, Wire } from './wire.js'

/** What a client may do, each as often as it stands here. */
const ACTIONS = [
  chat, chat, chat, chat, chat, chat, plain, plainInOwnSession, again, again, conflict, cancelTurn, cancelSession, cancelOwn, subscribe,
  subscribe, unsubscribe, history, ping, freeze, cut, leave, publish
] as const

export interface Host {
  publish: (session: SessionView['key'], name: string, data: unknown) => Promise<void>
}

/** Does so many things, one after another, with pauses between. */
export async function act (client: Client, steps: number, host: Host): Promise<void> {
  const { random } = client
  const [first, ...rest] = client.sessions.values()
  if (first === undefined) return
  for (let step = 0; step < steps; step++) {
    const wire = await client.connected()
    if (wire === undefined) return
    const session = random.pick([first, ...rest])
    const action = random.pick(ACTIONS)
    await action(client, wire, session, host)
    for (let left = random.pick([0, 0, 1, 3, 8, 20]); left > 0; left--) await tick()
  }
}

function chat (client: Client, wire: Wire, { key }: SessionView): void {
  const { random, chats, name, report } = client
  const { agentId, sessionId } = key
  const id = client.fresh('t')
  const message = `${name} asks ${id}`
  const onBusy = random.pick([undefined, undefined, 'queue', 'reject', 'interrupt'] as const)
  const isStreamed = random.perMille(850)
  const frame = {
    type: 'chat', id, agentId, sessionId, message,
    ...(onBusy === undefined ? {} : { onBusy }),
    ...(isStreamed ? {} : { stream: false }),
    ...(random.perMille(150) ? { metadata: { by: name, list: [1, 'two', null] } } : {})
  }
  const made: Chat = { id, key, by: name, message, isStreamed, frame, acks: 0, starts: 0, refusals: 0, lost: 0 }
  chats.set(id, made)
  report.count('chats')
  if (onBusy === 'interrupt') report.count('interrupts')
  wire.chat(made)
}

function plain (client: Client, wire: Wire, { key }: SessionView): void {
  const { agentId, sessionId } = key
  const isFed = wire.feed(key).isWhole
  if (wire.isChanging(key) || !wire.lanes.mayStart(agentId, isFed)) return
  const message = `${client.name} says ${client.fresh('p')}`
  client.report.count('plainChats')
  if (isFed) {
    wire.lanes.startFed(agentId, message)
    wire.feed(key).plain.add(message)
    return wire.send({ type: 'chat', agentId, sessionId, message })
  }
  wire.lanes.start(agentId, message, key, false)
  const stream = client.random.perMille(800) ? {} : { stream: false }
  wire.send({ type: 'chat', agentId, sessionId, message, ...stream })
}

function plainInOwnSession (client: Client, wire: Wire, { key: { agentId } }: SessionView): void {
  if (!wire.lanes.mayStart(agentId, false)) return
  const message = `${client.name} whispers ${client.fresh('p')}`
  const isInterrupt = client.random.perMille(200)
  client.report.count('plainChats')
  wire.lanes.start(agentId, message, undefined, isInterrupt)
  wire.send({ type: 'chat', agentId, message, onBusy: isInterrupt ? 'interrupt' : 'queue' })
}

/** Sends a chat again, of its own or of another client of its owner, whatever became of it. */
function again (client: Client, wire: Wire, { key }: SessionView): void {
  const chat = anyChat(client, ({ key: { agentId, sessionId } }) => agentId === key.agentId && sessionId === key.sessionId)
  if (chat !== undefined && !wire.conflicts.has(chat.id)) wire.chat(chat)
}

function conflict (client: Client, wire: Wire, { key }: SessionView): void {
  const { agentId, sessionId } = key
  const chat = anyChat(client, (chat) => chat.acks > 0 && chat.key.agentId === agentId && chat.key.sessionId === sessionId)
  if (chat === undefined || wire.chats.has(chat.id)) return
  wire.conflicts.add(chat.id)
  wire.chat({ ...chat, frame: { type: 'chat', id: chat.id, agentId, sessionId, message: `${chat.message}, or not` } })
}

function cancelTurn (client: Client, wire: Wire, { key }: SessionView): void {
  const { random, truth } = client
  const open = [...truth.session(key).turns.values()].filter(({ end }) => end === undefined).map(({ chat }) => chat.turnId)
  const turnId = random.pick([client.fresh('no'), ...open, ...open])
  const { agentId, sessionId } = key
  client.report.count('cancels')
  wire.request(client.fresh('r'), { kind: 'cancel', key }, { type: 'cancel', agentId, sessionId, turnId })
}

function cancelSession (client: Client, wire: Wire, { key }: SessionView): void {
  const { agentId, sessionId } = key
  client.report.count('cancels')
  wire.request(client.fresh('r'), { kind: 'cancel', key }, { type: 'cancel', agentId, sessionId })
}

function cancelOwn (client: Client, wire: Wire, { key: { agentId } }: SessionView): void {
  wire.lanes.stop(agentId)
  wire.request(client.fresh('r'), { kind: 'cancel own' }, { type: 'cancel', agentId })
}

function subscribe (client: Client, wire: Wire, session: SessionView): void {
  if (!wire.isChanging(session.key)) client.subscribe(wire, session, false)
}

function unsubscribe (client: Client, wire: Wire, { key }: SessionView): void {
  const { agentId, sessionId } = key
  if (wire.isChanging(key)) return
  client.report.count('unsubscribes')
  wire.request(client.fresh('r'), { kind: 'unsubscribe', key }, { type: 'unsubscribe', agentId, sessionId })
}

function history (client: Client, wire: Wire, session: SessionView): void {
  client.history(wire, session, 1 + client.random.below(30), () => {})
}

function ping (client: Client, wire: Wire): void {
  wire.request(client.fresh('r'), { kind: 'ping' }, { type: 'ping' })
}

async function freeze (client: Client): Promise<void> {
  const { link, random, report } = client
  if (link === undefined) return
  report.count('freezes')
  link.isFrozen = true
  for (let left = random.pick([5, 30, 100]); left > 0; left--) await tick()
  // What reads again at once was only slow.
  if (random.perMille(500)) link.isFrozen = false
}

function cut (client: Client): void {
  client.cut()
}

/** Goes, as a page that is closed does. */
async function leave (client: Client, wire: Wire): Promise<void> {
  if (client.link !== undefined) client.link.isFrozen = false
  wire.ws.close(1000)
  for (let left = client.random.below(20); left > 0; left--) await tick()
}

async function publish (client: Client, _wire: Wire, { key }: SessionView, host: Host): Promise<void> {
  client.report.count('published')
  await host.publish(key, 'notice', { from: client.name, at: client.fresh('n') })
}

function anyChat ({ chats, random }: Client, isMeant: (chat: Chat) => boolean): Chat | undefined {
  const [first, ...rest] = [...chats.values()].filter(isMeant)
  return first === undefined ? undefined : random.pick([first, ...rest])
}
