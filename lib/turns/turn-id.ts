import { randomUUID } from 'node:crypto'

/** Tells the turns of this process from those of every other. */
const process = randomUUID()
let count = 0

/** The id of a turn whose client gave none: a UUID of its own for each would cost more than the rest of what a chat is made of. */
export function newTurnId (): string {
  return `${process}-${count++}`
}
