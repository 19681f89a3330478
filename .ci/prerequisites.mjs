// What the tests need of the machine, beyond Node and `npm ci`. Run by itself it prints the Debian packages that are
// missing, for `.ci/run` to install. One more is one more line here.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'

const PREREQUISITES = [
  { debianPackage: 'curl', probe: ['curl', '--version'] },
  // Debian's own python3 by its path: one from elsewhere on the PATH does not see Debian's modules.
  { debianPackage: 'python3-websocket', probe: ['/usr/bin/python3', '-c', 'import websocket'] },
  { debianPackage: 'chromium', probe: ['/usr/bin/chromium', '--version'] },
  { debianPackage: 'redis-server', probe: ['redis-server', '--version'] },
  { debianPackage: 'postgresql', probe: [postgresProgram('postgres'), '--version'] }
]

/** Debian keeps the programs of PostgreSQL off the PATH, in a folder of each version: the newest that is there. */
export function postgresProgram (name) {
  const home = '/usr/lib/postgresql'
  const versions = existsSync(home) ? readdirSync(home).sort((one, other) => Number(other) - Number(one)) : []
  const programs = versions.map((version) => join(home, version, 'bin', name))
  return programs.find((program) => existsSync(program)) ?? name
}

/** Debian packages whose probe fails. */
export function missingPackages () {
  return PREREQUISITES
    .filter(({ probe: [command, ...args] }) => spawnSync(command, args, { stdio: 'ignore' }).status !== 0)
    .map(({ debianPackage }) => debianPackage)
}

if (argv[1] === fileURLToPath(import.meta.url)) console.log(missingPackages().join(' '))
