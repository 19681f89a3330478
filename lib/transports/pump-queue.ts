/** What has frames to send. */
export interface Pumped {
  /** Must not throw. */
  pump(): void
}

/** So many wait for the rest of what was read at most: with more connections in one run of the event loop nobody waits longer. */
const MOST_DUE = 64
let due: Pumped[] = []
/** How often {@link pumpAll} is still to come. */
let coming = 0

/**
 * Pumps it as soon as what the event loop has read is handled: the writes of all connections then come one after another.
 * Each between two frames that are handled, they find a peer on this machine asleep again, and waking it takes longer than
 * the write: short turns were seen to cost a seventh less.
 */
export function pumpSoon (pumped: Pumped): void {
  const count = due.push(pumped)
  if (coming === 0) pumpBehind()
  else if (count === MOST_DUE) process.nextTick(pumpDue)
}

/** Whatever is due then is pumped behind what this run of the event loop has been told to do so far, and its microtasks. */
export function pumpBehind (): void {
  coming++
  setImmediate(pumpAll)
}

function pumpAll (): void {
  coming--
  pumpDue()
}

function pumpDue (): void {
  const all = due
  due = []
  for (const pumped of all) pumped.pump()
}
