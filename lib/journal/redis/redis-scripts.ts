import { RedisScript } from '../../redis/redis-script.js'
import { CLOCK, SESSION } from './redis-session-script.js'

export interface ScriptSettings {
  leaseMs: number
  /** How long a session is kept in which nothing happens. */
  idleMs: number
  /** How long one is kept at least in which something waits or runs, whatever happens to the nodes. */
  liveMs: number
  dedupWindowMs: number
  maxEntries: number
  maxBytes: number
  isSharded: boolean
}

export type ScriptName = keyof typeof BODIES
export type Scripts = Readonly<Record<ScriptName, RedisScript>>

/** The scripts, each one step in Redis. */
export function redisScripts (settings: ScriptSettings): Scripts {
  const constants = `local LEASE, IDLE, LIVE, DEDUP = ${settings.leaseMs}, ${settings.idleMs}, ${settings.liveMs}, ${settings.dedupWindowMs}
local CLAIMED = math.max(LIVE, DEDUP)
local MAX_ENTRIES, MAX_BYTES, PUBLISH = ${settings.maxEntries}, ${settings.maxBytes}, '${settings.isSharded ? 'SPUBLISH' : 'PUBLISH'}'
`
  const made = Object.entries(BODIES).map(([name, body]) => {
    const source = constants + CLOCK + (name.startsWith('index') || name === 'identify' ? '' : SESSION) + body
    return [name, new RedisScript(source)] as const
  })
  // One for each body.
  return Object.fromEntries(made) as Scripts
}

const BODIES = {
  /** ARGV: epoch if new, key text, turn, hash, chat, on busy, max queued, max claims, displaced end, the same as a claim has it. */
  offer: `
local epoch, text, turn, hash, chat, onBusy, maxQueued, maxClaims, ends, as = unpack(ARGV)
local held = hash ~= '' and known(turn, hash)
if held then return {'claimed', held} end
local waiting, isFree = redis.call('LRANGE', Q, 0, -1), s.r == nil
if onBusy == 'reject' and not (isFree and #waiting == 0) then return {'SESSION_BUSY', runner()} end
if onBusy ~= 'interrupt' and #waiting >= tonumber(maxQueued) + (isFree and 1 or 0) then return {'QUEUE_FULL', runner()} end
if hash ~= '' and maxClaims ~= '' then
  if redis.call('ZCOUNT', claims, '(' .. int(now), '+inf') >= tonumber(maxClaims) then return {'RATE_LIMITED', runner()} end
end
open(epoch, text)
needRoom()
if hash ~= '' and maxClaims ~= '' then redis.call('ZREMRANGEBYSCORE', claims, '-inf', int(now)) end
local displaced = {}
if onBusy == 'interrupt' then
  displaced = waiting
  for _, other in ipairs(displaced) do endWaiting(other, ends, as) end
end
redis.call('RPUSH', Q, turn)
redis.call('HSET', S, 'c:' .. turn, chat)
redis.call('SET', claimOf(turn), hash, 'PX', CLAIMED)
if hash ~= '' and maxClaims ~= '' then redis.call('ZADD', claims, int(now + CLAIMED), base .. ' ' .. turn) end
emit('{"q":' .. chat .. '}', 0)
saveWritten()
keep()
local position = #waiting + (isFree and 0 or 1) - #displaced
return {'accepted', runner(), position, s.e, int(s.q), displaced, int(s.v)}
`,
  /** ARGV: turn, hash. */
  claimed: `
return known(ARGV[1], ARGV[2])
`,
  /** ARGV: node, nonce, the only turn that is meant or ''. A nonce that has the right already is given it once more. */
  take: `
if s.r and s.x == ARGV[2] then
  s.l = now + LEASE
  save('l')
  return {'run', redis.call('HGET', S, 'c:' .. s.r), s.e, int(s.f), int(s.q)}
end
if s.r then return {'busy', runner(), redis.call('LRANGE', Q, 0, -1)} end
local first = redis.call('LINDEX', Q, 0)
if not first or (ARGV[3] ~= '' and ARGV[3] ~= first) then return {'none', {}, {}} end
needRoom()
local turn = redis.call('LPOP', Q)
local chat = redis.call('HGET', S, 'c:' .. turn)
s.f, s.r, s.n, s.x, s.l, s.g, s.b, s.d = s.f + 1, turn, ARGV[1], ARGV[2], now + LEASE, s.q, 0, '0'
save('f', 'r', 'n', 'x', 'l', 'g', 'b', 'd')
redis.call('DEL', T)
emit('{"s":' .. chat .. '}', 1)
saveWritten()
keep()
return {'run', chat, s.e, int(s.f), int(s.q)}
`,
  /** ARGV: epoch, fence, last seq seen, batch, count, what to keep of the text, entries, how it ended or '', epoch if new. */
  append: `
local epoch, fence, seen, batch, count, kept, body, as, new = unpack(ARGV)
if s.e == epoch and s.q < tonumber(seen) then renumber(new) end
if not isRunOf(epoch, fence) then return {'gone'} end
if tonumber(batch) <= s.b then return {'written', int(s.q)} end
if s.d == '1' then return {'gone'} end
local first = int(s.q + 1)
emit(body, count)
s.b, s.l = tonumber(batch), now + LEASE
if as ~= '' then
  s.d = '1'
  redis.call('DEL', T)
  ended(s.r, as, s.q)
elseif kept ~= '' then
  local line = first .. ' ' .. kept .. '\\n'
  if redis.call('APPEND', T, line) == #line then redis.call('PEXPIRE', T, LIVE) end
end
save('q', 'v', 'w', 'y', 'b', 'l', 'd')
if now - s.m > LIVE / 4 then keep() end
return {'written', int(s.q)}
`,
  /** ARGV: epoch, fence, end, the same as a claim has it. Asked again, it answers again how many wait while nobody runs. */
  release: `
if not isRunOf(ARGV[1], ARGV[2]) then return {'gone', s.r and 0 or redis.call('LLEN', Q)} end
if s.d ~= '1' then
  endRunning(ARGV[3], ARGV[4])
  saveWritten()
end
clearRun()
keep()
return {'released', redis.call('LLEN', Q)}
`,
  /** ARGV: epoch, fence. A lease that has run out is good again as long as nobody has taken it; also while Redis is full. */
  renew: `
if not isRunOf(ARGV[1], ARGV[2]) then return 0 end
redis.call('PEXPIRE', S, LIVE)
s.l = now + LEASE
save('l')
if now - s.m > LIVE / 4 then keep() end
return 1
`,
  /** ARGV: turn, end, the same as a claim has it. */
  withdraw: `
if not redis.call('LPOS', Q, ARGV[1]) then return 0 end
endWaiting(ARGV[1], ARGV[2], ARGV[3])
saveWritten()
keep()
return 1
`,
  /** ARGV: turn, chat. One that was accepted since under the same id is another. */
  retract: `
if redis.call('HGET', S, 'c:' .. ARGV[1]) ~= ARGV[2] then return 0 end
if string.find(redis.call('GET', claimOf(ARGV[1])) or '', '\\n', 1, true) then return 0 end
if redis.call('LREM', Q, 1, ARGV[1]) == 0 then return 0 end
redis.call('HDEL', S, 'c:' .. ARGV[1])
redis.call('DEL', claimOf(ARGV[1]))
redis.call('ZREM', claims, base .. ' ' .. ARGV[1])
emit('{"x":' .. cjson.encode(ARGV[1]) .. '}', 0)
saveWritten()
keep()
return 1
`,
  /** ARGV: turn or '' for all, end, the same as a claim has it. */
  cancel: `
local stopped = {}
for _, turn in ipairs(redis.call('LRANGE', Q, 0, -1)) do
  if ARGV[1] == '' or ARGV[1] == turn then stopped[#stopped + 1] = turn end
end
for _, turn in ipairs(stopped) do endWaiting(turn, ARGV[2], ARGV[3]) end
if #stopped > 0 then
  saveWritten()
  keep()
end
local isMeant = s.r and (ARGV[1] == '' or ARGV[1] == s.r) and s.d ~= '1'
return {stopped, isMeant and runner() or {}}
`,
  /** ARGV: fence, end, the same as a claim has it. Ends a turn whose node does not answer, takes its right, answers what it has said. */
  settle: `
if not s.r or int(s.f) ~= ARGV[1] or s.d == '1' then return {0} end
local chat, said = redis.call('HGET', S, 'c:' .. s.r), redis.call('GET', T) or ''
endRunning(ARGV[2], ARGV[3])
clearRun()
s.f = s.f + 1
save('f')
saveWritten()
keep()
return {1, redis.call('LLEN', Q), chat, said}
`,
  /** ARGV: node, nonce. The right to end a turn whose lease has run out, and what it has said. */
  salvage: `
if not s.r then return {'ended', redis.call('LLEN', Q)} end
if s.l >= now and s.x ~= ARGV[2] then return {'none'} end
if s.d == '1' then
  clearRun()
  keep()
  return {'ended', redis.call('LLEN', Q)}
end
if s.x ~= ARGV[2] then
  s.f, s.n, s.x, s.l, s.b = s.f + 1, ARGV[1], ARGV[2], now + LEASE, 0
  save('f', 'n', 'x', 'l', 'b')
end
return {'run', redis.call('HGET', S, 'c:' .. s.r), s.e, int(s.f), int(s.q), redis.call('GET', T) or ''}
`,
  /** ARGV: epoch if new, key text, event. */
  publish: `
open(ARGV[1], ARGV[2])
emit(ARGV[3], 1)
saveWritten()
keep()
return {s.e, int(s.q)}
`,
  /** ARGV: epoch if new, key text, whether to make it, epoch, seq and version known. All there is, or what follows a known place. */
  read: `
local epoch, text, make, knownEpoch, known, knownVersion = unpack(ARGV)
known = tonumber(known)
if not s.e and make ~= '1' then return {} end
if s.e and s.e == knownEpoch and (s.q < known or s.v < tonumber(knownVersion)) then renumber(epoch) end
open(epoch, text)
keep()
local first = redis.call('XRANGE', E, '-', '+', 'COUNT', 1)[1]
local held = first and tonumber(string.match(first[2][2], '^%[%d+,"[^"]*",(%d+)')) or s.q + 1
local isMore = s.e == knownEpoch and known >= held - 1
local messages = {}
for _, row in ipairs(redis.call('XRANGE', E, isMore and int(known + 1) or '-', '+')) do messages[#messages + 1] = row[2][2] end
local chats = {}
for _, turn in ipairs(redis.call('LRANGE', Q, 0, -1)) do chats[#chats + 1] = redis.call('HGET', S, 'c:' .. turn) end
local running = s.r and s.d ~= '1' and {redis.call('HGET', S, 'c:' .. s.r), int(s.g)} or {}
local said = not isMore and s.r and redis.call('GET', T) or ''
return {s.e, int(s.q), int(s.v), isMore and 1 or 0, messages, chats, running, said, runner()}
`,
  /** Where the session is, and that somebody reads it. */
  check: `
if not s.e then return {} end
if isLive() then
  if now - s.m > LIVE / 4 then keep() end
else
  for _, key in ipairs({S, E}) do redis.call('PEXPIRE', key, math.max(IDLE, tonumber(ARGV[1]))) end
end
return {s.e, s.v, s.q}
`,
  /** Whether anything waits or runs, and until when the lease is. */
  look: `
if not s.e or not isLive() then return {'idle'} end
keep()
if not s.r then return {'free'} end
return {s.l < now and 'left' or 'run', int(s.l)}
`,
  /** ARGV: the end of open turns as a claim has it. */
  forget: `
if not s.e then return 0 end
local turns = redis.call('LRANGE', Q, 0, -1)
if s.r and s.d ~= '1' then turns[#turns + 1] = s.r end
redis.call('DEL', S, E, T, Q)
for _, turn in ipairs(turns) do ended(turn, ARGV[1], 0) end
emit('{"z":1}', 0)
return 1
`,
  /**
   * KEYS: the index. ARGV: session, how long until somebody has to look at it. One that is due before is so a moment earlier still:
   * whoever looks at it now must not strike it off by what it was.
   */
  indexAdd: `
local due, known = now + tonumber(ARGV[2]), redis.call('ZSCORE', KEYS[1], ARGV[1])
if known and tonumber(known) <= due then due = tonumber(known) - 1 end
redis.call('ZADD', KEYS[1], int(due), ARGV[1])
redis.call('PEXPIRE', KEYS[1], LIVE * 2)
return 1
`,
  /** KEYS: the index. ARGV: how many, until when others leave them alone. */
  indexDue: `
redis.call('PEXPIRE', KEYS[1], LIVE * 2)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now), 'LIMIT', 0, tonumber(ARGV[1]))
local later = int(now + tonumber(ARGV[2]))
for _, session in ipairs(due) do redis.call('ZADD', KEYS[1], later, session) end
return {later, due}
`,
  /** KEYS: the index. ARGV: session, when it is due now, when it is to be due or '' for never. */
  indexMove: `
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or int(tonumber(score)) ~= ARGV[2] then return 0 end
redis.call('PEXPIRE', KEYS[1], LIVE * 2)
if ARGV[3] == '' then redis.call('ZREM', KEYS[1], ARGV[1]) else redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
return 1
`,
  /** KEYS: the journal's id. ARGV: the id if there is none. */
  identify: `
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[1], ARGV[1]) end
redis.call('PEXPIRE', KEYS[1], LIVE * 30)
return redis.call('GET', KEYS[1])
`
} as const satisfies Record<string, string>
