import { randomUUID } from 'node:crypto'

/** All but the last twelve digits of a UUID: tells the turns of this process from those of every other. */
const process = randomUUID().slice(0, -12)
let count = 0

/**
 * The id of a turn whose client gave none. It looks like a UUID, and costs less: a random one for each turn would cost more
 * than the rest of what a chat is made of.
 */
export function newTurnId (): string {
  return process + (count++).toString(16).padStart(12, '0')
}
