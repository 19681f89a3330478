// What the tests need of the machine, beyond Node and `npm ci`. Run by itself it prints the Debian packages that are
// missing, for `.ci/run` to install. One more is one more line here.
import { spawnSync } from 'node:child_process'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'

import { postgresProgram } from './postgres-program.mjs'

const PREREQUISITES = [
  { debianPackage: 'curl', probe: ['curl', '--version'] },
  // Debian's own python3 by its path: one from elsewhere on the PATH does not see Debian's modules.
  { debianPackage: 'python3-websocket', probe: ['/usr/bin/python3', '-c', 'import websocket'] },
  { debianPackage: 'chromium', probe: ['/usr/bin/chromium', '--version'] },
  { debianPackage: 'redis-server', probe: ['redis-server', '--version'] },
  { debianPackage: 'postgresql', probe: [postgresProgram('postgres'), '--version'] }
]

/** Debian packages whose probe fails. */
export function missingPackages () {
  return PREREQUISITES
    .filter(({ probe: [command, ...args] }) => spawnSync(command, args, { stdio: 'ignore' }).status !== 0)
    .map(({ debianPackage }) => debianPackage)
}

if (argv[1] === fileURLToPath(import.meta.url)) console.log(missingPackages().join(' '))
