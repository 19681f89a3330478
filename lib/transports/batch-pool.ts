import { FrameBatch } from './frame-bytes.js'

/** Each has a slab of its own: what many connections have said at once is not kept for the next time. */
const MAX_IDLE = 32
/** Batches that nobody fills at the moment: they are filled one after another. */
const idle: FrameBatch[] = []
/** Of those that are being filled: what more connections are answered in one run of the event loop leaves by itself. */
const MAX_OPEN = 64
let open = 0

/** Whether one more connection may fill a batch bit by bit. */
export function mayOpenBatch (): boolean { return open < MAX_OPEN }

/** To be given back by {@link closeBatch}. */
export function openBatch (): FrameBatch {
  open++
  return idle.pop() ?? new FrameBatch()
}

/** @param batch what was in it has been taken */
export function closeBatch (batch: FrameBatch): void {
  open--
  if (idle.length < MAX_IDLE) idle.push(batch)
}
