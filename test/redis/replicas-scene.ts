import type { Test } from 'tap'

import { RedisReplicas } from '../../lib/journal/redis/redis-replicas.js'
import { RedisScriptRunner } from '../../lib/journal/redis/redis-script-runner.js'
import type { RedisSubscriber } from '../../lib/redis/redis-client.js'
import { ManualClock } from '../helpers/manual-clock.js'

/** Replicas without a Redis, which give up a subscription after a second. */
export function openReplicas (t: Test, { subscriber, read }: { subscriber: RedisSubscriber, read: () => unknown }) {
  const clock = new ManualClock()
  // All that is run is a script that reads.
  const runner = new class extends RedisScriptRunner {
    override async run (): Promise<unknown> { return read() }
  }({} as never, {} as never, clock, () => 0)
  const limits = { maxEntries: 9, maxBytes: 999, forgetsRead: false }
  const replicas = new RedisReplicas({ subscriber, timeoutMs: 1_000, runner, clock, limits, checkMs: 60_000, onLeft: () => {} })
  t.teardown(() => { replicas.close() })
  return { clock, replicas }
}
