import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Debian keeps the programs of PostgreSQL off the PATH, in a folder of each version: the newest that is there. */
export function postgresProgram (name) {
  const home = '/usr/lib/postgresql'
  const versions = existsSync(home) ? readdirSync(home).sort((one, other) => Number(other) - Number(one)) : []
  const programs = versions.map((version) => join(home, version, 'bin', name))
  return programs.find((program) => existsSync(program)) ?? name
}
