import { Redis } from 'ioredis'

/** Whether no turn has the right to run, and none waits. */
export async function isIdle (port: number): Promise<boolean> {
  const client = new Redis(port, '127.0.0.1')
  try {
    for await (const keys of client.scanStream({ match: '*:live:*', count: 500 }) as AsyncIterable<string[]>) {
      for (const key of keys) {
        if (key.endsWith(':q') || (key.endsWith(':s') && await client.hexists(key, 'r') === 1)) return false
      }
    }
    return true
  } finally {
    client.disconnect()
  }
}
