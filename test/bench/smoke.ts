import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

import type { Test } from 'tap'

/** Runs a benchmark with little to do; what it prints of each of its workloads. */
export async function smokeOf (t: Test, run: URL): Promise<string[]> {
  const child = spawn(process.execPath, ['--import=tsx', fileURLToPath(run), '--smoke'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [printed, failures] = ['', '']
  child.stdout.on('data', (chunk) => { printed += String(chunk) })
  child.stderr.on('data', (chunk) => { failures += String(chunk) })
  const [code] = await once(child, 'close') as [number | null]
  t.equal(code, 0, failures)
  return printed.split('\n## ').slice(1)
}
