import { RedisLink } from '../../../lib/redis/redis-link.js'
import { RedisScript } from '../../../lib/redis/redis-script.js'
import { RedisReplicas } from '../../../lib/journal/redis/redis-replicas.js'
import { RedisScriptRunner } from '../../../lib/journal/redis/redis-script-runner.js'

export interface Bug {
  /** Breaks the code of this process. */
  plant: () => void
}

/** Changes to the journal that the run has to notice. */
export const BUGS: Readonly<Record<string, Bug>> = {
  'the fence is off': {
    plant: () => {
      rewrite('return s.r ~= nil and s.e == epoch and int(s.f) == fence end', 'return s.r ~= nil end')
      rewrite('if tonumber(batch) <= s.b then', 'if tonumber(batch) == s.b then')
    }
  },
  'what is appended is published before, and a node may die between': {
    plant: () => {
      const { run } = RedisLink.prototype
      let appends = 0
      RedisLink.prototype.run = async function (script, keys, args) {
        if (script.lua.includes('local epoch, fence, seen') && ++appends % 60 === 0) {
          await run.call(this, published(script), keys, args)
          process.kill(process.pid, 'SIGKILL')
        }
        return await run.call(this, script, keys, args)
      }
    }
  },
  'nothing is caught up with after a break': {
    plant: () => {
      RedisReplicas.prototype.resync = () => {}
      const { run } = RedisScriptRunner.prototype
      // Nor is it seen that something is missing.
      RedisScriptRunner.prototype.run = function (name, ...given) {
        return name === 'check' ? new Promise(() => {}) : run.call(this, name, ...given)
      }
    }
  },
  'a claim is kept for good': {
    plant: () => { rewrite('value, \'PX\', DEDUP)', 'value)') }
  }
}

const changes: Array<[string, string]> = []
const rewritten = new Map<RedisScript, RedisScript>()

function rewrite (from: string, to: string): void {
  if (changes.push([from, to]) > 1) return
  const { run } = RedisLink.prototype
  RedisLink.prototype.run = function (script, keys, args) {
    let changed = rewritten.get(script)
    if (changed === undefined) {
      changed = new RedisScript(changes.reduce((lua, [from, to]) => lua.replace(from, to), script.lua))
      rewritten.set(script, changed)
    }
    return run.call(this, changed, keys, args)
  }
}

/** Tells what an append would write, and writes nothing. */
function published ({ lua }: RedisScript): RedisScript {
  const changed = lua.replace('redis.call(\'XADD\', E,', 'local skipped = tostring(E,')
    .replace('save(\'q\', \'v\', \'w\', \'y\', \'b\', \'u\', \'l\', \'d\')', '')
    .replace('redis.call(\'APPEND\', T, line) == #line', 'false')
  return new RedisScript(changed)
}
