import type { Redis } from 'ioredis'

/** What Redis has done so far, or between two moments. */
export interface Usage {
  /** Commands that clients have sent; those that scripts run are not among them. */
  commands: number
  /** Bytes that have come in and gone out. */
  bytesIn: number
  bytesOut: number
  /** Time of the processor, in milliseconds. */
  cpuMs: number
}

/** Sent by clients, whoever they are. All else is counted where there are no scripts. */
const SENT_BESIDE_SCRIPTS = /^(eval|evalsha|s?subscribe|s?unsubscribe|config\|.*|client\|.*|hello|info|ping)$/
/** What asks for these figures. */
const OWN = ['info']

export async function usageOf (redis: Redis): Promise<Usage> {
  const [stats, calls, cpu] = [await redis.info('stats'), await redis.info('commandstats'), await redis.info('cpu')]
  const callsByName = new Map([...calls.matchAll(/^cmdstat_(\S+):calls=(\d+)/gm)].map(([, name = '', count]) => [name, Number(count)]))
  const hasScripts = callsByName.has('evalsha')
  let commands = 0
  for (const [name, count] of callsByName) if (!OWN.includes(name) && (!hasScripts || SENT_BESIDE_SCRIPTS.test(name))) commands += count
  return {
    commands,
    bytesIn: numberIn(stats, 'total_net_input_bytes'),
    bytesOut: numberIn(stats, 'total_net_output_bytes'),
    cpuMs: (numberIn(cpu, 'used_cpu_user') + numberIn(cpu, 'used_cpu_sys')) * 1_000
  }
}

export function since (before: Usage, after: Usage): Usage {
  return {
    commands: after.commands - before.commands,
    bytesIn: after.bytesIn - before.bytesIn,
    bytesOut: after.bytesOut - before.bytesOut,
    cpuMs: after.cpuMs - before.cpuMs
  }
}

/** What keys and their values take, in bytes. */
export async function memoryOf (redis: Redis): Promise<number> {
  return numberIn(await redis.info('memory'), 'used_memory')
}

function numberIn (info: string, name: string): number {
  const [, number] = new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info) ?? []
  if (number === undefined) throw new Error(`Redis does not say ${name}`)
  return Number(number)
}
