/** What all scripts begin with. */
export const CLOCK = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(number) return string.format('%.0f', number) end
`

/**
 * What all scripts of a session begin with. KEYS: the session's base, its owner's claims. Beside the base there are
 * `:s` a hash: [e]poch, last se[q], [v]ersion of what readers see, [f]ence, [k]ey as text; of the run: its tu[r]n, [n]ode,
 *    [l]ease until, last [b]atch, whether it is [d]one, be[g]un behind seq, nonce [x] of who took it;
 *    bytes ever [w]ritten, and of those no longer held [y]; ti[m]e at which keys were last kept; `c:<turn>` the chats that wait or run
 * `:e` a stream of what was written, one message for each append, under the seq of its last entry
 * `:t` what the running turn has said, one line for each append
 * `:q` a list of the turns that wait
 * `:c:<turn>` a claim: the body's hash, and on a second line how the turn ended, or nothing yet where somebody was told that it is known
 */
export const SESSION = `
local base, claims = KEYS[1], KEYS[2]
local S, E, T, Q = base .. ':s', base .. ':e', base .. ':t', base .. ':q'
local s = {}
do
  local texts, numbers = {'e', 'r', 'n', 'd', 'x'}, {'q', 'v', 'f', 'l', 'b', 'g', 'w', 'y', 'm'}
  for index, value in ipairs(redis.call('HMGET', S, unpack(texts))) do s[texts[index]] = value or nil end
  for index, value in ipairs(redis.call('HMGET', S, unpack(numbers))) do s[numbers[index]] = tonumber(value or 0) end
end

local function save(...)
  local fields = {}
  for _, name in ipairs({...}) do
    fields[#fields + 1] = name
    fields[#fields + 1] = type(s[name]) == 'number' and int(s[name]) or s[name]
  end
  redis.call('HSET', S, unpack(fields))
end

local function claimOf(turn) return base .. ':c:' .. turn end
local function isLive() return s.r ~= nil or redis.call('LLEN', Q) > 0 end

-- Every key has its time; claims of open turns as long as the session.
local function keep()
  local live = isLive()
  local ms = live and LIVE or IDLE
  -- First what needs no memory: sessions can be read, and looked at, while Redis is full.
  for _, key in ipairs({S, E, T, Q}) do redis.call('PEXPIRE', key, ms) end
  s.m = now
  save('m')
  if not live then return end
  local open = redis.call('LRANGE', Q, 0, -1)
  if s.r and s.d ~= '1' then open[#open + 1] = s.r end
  for _, turn in ipairs(open) do
    redis.call('PEXPIRE', claimOf(turn), CLAIMED)
    redis.call('ZADD', claims, 'XX', int(now + CLAIMED), base .. ' ' .. turn)
  end
  redis.call('PEXPIRE', claims, CLAIMED)
end

local function open(epoch, text)
  if s.e then return end
  s.e, s.f = epoch, now * 1000
  redis.call('HSET', S, 'e', epoch, 'f', int(s.f), 'k', text)
  redis.call('DEL', E, T, Q)
end

-- Redis that is full refuses the first write of a script, if that may need memory, and none behind it: whoever adds begins with this.
local function needRoom() save('v') end

-- What is over the limit goes, the oldest first; the newest stays.
local function trim()
  local rows = redis.call('XRANGE', E, '-', '+', 'COUNT', 64)
  s.y = tonumber(rows[1][2][4]) - #rows[1][2][2] - 64
  local from
  for index = 1, #rows - 1 do
    if s.w - s.y <= MAX_BYTES then break end
    s.y = tonumber(rows[index][2][4])
    from = rows[index + 1][1]
  end
  if from then redis.call('XTRIM', E, 'MINID', '=', from) end
end

-- Numbers and keeps so many entries, and tells all who read.
local function emit(body, count)
  count = tonumber(count)
  s.v = s.v + 1
  local message = '[' .. int(s.v) .. ',"' .. s.e .. '",' .. int(s.q + 1) .. ',' .. count .. ',0,' .. body .. ']'
  if count > 0 then
    s.q = s.q + count
    s.w = s.w + #message + 64
    local oldest = int(math.max(0, s.q - MAX_ENTRIES + 1))
    redis.call('XADD', E, 'MINID', '=', oldest .. '-0', int(s.q) .. '-0', 'm', message, 'w', int(s.w))
    if s.w - s.y > MAX_BYTES then trim() end
  end
  redis.call(PUBLISH, base, message)
end
local function saveWritten() save('q', 'v', 'w', 'y') end

local function ended(turn, as, seq)
  local claim = redis.call('GET', claimOf(turn))
  if not claim then return end
  local hash = string.match(claim, '^[^\\n]*')
  local value = hash .. '\\n{' .. as .. ',"epoch":"' .. s.e .. '","seq":' .. int(seq) .. '}'
  redis.call('SET', claimOf(turn), value, 'PX', DEDUP)
  redis.call('ZADD', claims, 'XX', int(now + DEDUP), base .. ' ' .. turn)
  redis.call('PEXPIRE', claims, CLAIMED)
end

-- The claim of a chat that is sent again. Whoever is told that it is known relies on it: it cannot be taken back any more.
local function known(turn, hash)
  local claim = redis.call('GET', claimOf(turn))
  -- Redis that is full says so all the same.
  if claim == hash then redis.pcall('SET', claimOf(turn), hash .. '\\n', 'KEEPTTL') end
  return claim
end

local function endBody(turn, ends, mark)
  return '{"i":' .. cjson.encode(turn) .. mark .. ',"e":[["d",' .. ends .. ']]}'
end

local function endWaiting(turn, ends, as)
  redis.call('LREM', Q, 1, turn)
  redis.call('HDEL', S, 'c:' .. turn)
  emit(endBody(turn, ends, ',"w":1'), 1)
  ended(turn, as, s.q)
end

local function endRunning(ends, as)
  emit(endBody(s.r, ends, ''), 1)
  ended(s.r, as, s.q)
end

local function clearRun()
  redis.call('HDEL', S, 'r', 'n', 'l', 'b', 'd', 'g', 'x', 'c:' .. s.r)
  redis.call('DEL', T)
  s.r = nil
end

local function isRunOf(epoch, fence) return s.r ~= nil and s.e == epoch and int(s.f) == fence end
local function runner() return s.r and {s.n, s.r, int(s.f), s.l < now and '1' or '0'} or {} end

-- Entries that a node has seen are gone: what is numbered from here on is another journal.
local function renumber(epoch)
  needRoom()
  emit('{"z":1}', 0)
  redis.call('DEL', E, T)
  s.e, s.q, s.w, s.y = epoch, 0, 0, 0
  if s.r and s.d ~= '1' then
    endRunning('{"finishReason":"error","error":{"code":"TURN_LOST"}}', '"end":{"finishReason":"error","error":{"code":"TURN_LOST"}},"isWhole":false')
  end
  if s.r then clearRun() end
  save('e')
  saveWritten()
  keep()
end
`
