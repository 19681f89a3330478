import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import type { Test } from 'tap'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Debian's own: the one that apt installs python3-websocket for. */
export const PYTHON = '/usr/bin/python3'

export interface RunOptions {
  env?: Record<string, string> | undefined
  /** What it reads from its terminal, so to speak. */
  input?: string | undefined
}

export interface Running {
  child: ChildProcessWithoutNullStreams
  /** Resolves to what it has printed as soon as that matches; rejects when it ends without. */
  printed(pattern: RegExp): Promise<RegExpExecArray>
  ended: Promise<Ended>
}

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

/** A process that ends with its test, if not before. */
export function start (t: Test, command: string, args: string[], { env, input = '' }: RunOptions = {}): Running {
  // What tsx compiles has other lines than tap thinks: counted, it would spoil the coverage of the whole run.
  const child = spawn(command, args, { cwd: root, env: { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0', ...env } })
  const output = { stdout: '', stderr: '' }
  const waiting = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
      for (const look of waiting) look()
    })
  }
  child.stdin.on('error', () => { /* it ended without reading all of its input */ })
  child.stdin.end(input)

  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => { resolve({ code, ...output }) })
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })

  function printed (pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      function look () {
        const match = pattern.exec(output.stdout + output.stderr)
        if (match === null) return
        waiting.delete(look)
        resolve(match)
      }
      waiting.add(look)
      look()
      void ended.then(() => { reject(new Error(`ended without printing ${pattern}: ${JSON.stringify(output)}`)) })
    })
  }

  return { child, printed, ended }
}

export async function run (t: Test, command: string, args: string[], options?: RunOptions): Promise<Ended> {
  return start(t, command, args, options).ended
}

/** One of the example apps, on a free port. */
export async function startExample (t: Test, file: string, args: string[] = [], env: Record<string, string> = {}) {
  const example = start(t, process.execPath, ['--import', 'tsx', `examples/${file}`, ...args], { env: { ...env, PORT: '0' } })
  const [, port] = await example.printed(/Server listening at http:\/\/127\.0\.0\.1:(\d+)/)
  return { ...example, port: Number(port), url: `ws://localhost:${port}/api/v1/ws` }
}
