import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** What `--expose-gc` gives, without the flag. */
export function collectGarbage (): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc()')
}

/** Bytes of the heap that something holds. */
export function heldBytes (): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

/** Bytes of buffers that something holds; those of the last collection are given back a little later. */
export function bufferBytes (): number {
  collectGarbage()
  return process.memoryUsage().arrayBuffers
}
