import { RedisScript } from '../redis/redis-script.js'

// A session has three keys, of one hash tag: `meta`, a hash of its id (new whenever the session is), the position after its newest
// message, when that was said, its bytes, and up to where its list was told; `messages`, a list, the oldest first; `places`, a hash of
// each message's position by turn and role. An element of `messages` is that turn and role as JSON, a line feed, and the message as JSON:
// what is trimmed has to be found in `places`, and Redis's own JSON reader refuses some texts.
//
// The list of an owner and agent has two keys, of another hash tag: `order`, a sorted set of the sessions' names by rank, and `entries`,
// a hash of what is known of each, `<id> <end> <at>`, and of the list's id.

/** What is too much goes, the oldest first; the newest stays. Answers what is left, in bytes. */
const TRIM = `
local function trim (messages, places, bytes, most, mostBytes)
  local length = redis.call('LLEN', messages)
  while length > tonumber(most) or (length > 1 and bytes > tonumber(mostBytes)) do
    local oldest = redis.call('LPOP', messages)
    redis.call('HDEL', places, string.sub(oldest, 1, string.find(oldest, '\\n', 1, true) - 1))
    bytes = bytes - #oldest
    length = length - 1
  end
  return bytes
end
`

/**
 * KEYS meta, messages, places. ARGV id for a new session, ttl, most messages, most bytes, then turn and role, element, hour, and whether it
 * is complete, of each. Answers what is kept of those that are kept already and are not complete.
 */
export const APPEND = new RedisScript(`${TRIM}
local meta, messages, places = KEYS[1], KEYS[2], KEYS[3]
local id = redis.call('HGET', meta, 'id')
if not id or redis.call('LLEN', messages) ~= redis.call('HLEN', places) then
  -- Evicted in part: what is left of it is no conversation.
  redis.call('DEL', meta, messages, places)
  id = false
end
local last = tonumber(redis.call('HGET', meta, 'end') or 0)
local bytes = tonumber(redis.call('HGET', meta, 'bytes') or 0)
local isChanged = false
local known = {}
for i = 5, #ARGV, 4 do
  if redis.call('HSETNX', places, ARGV[i], last) == 1 then
    redis.call('RPUSH', messages, ARGV[i + 1])
    redis.call('HSET', meta, 'at', ARGV[i + 2])
    bytes = bytes + #ARGV[i + 1]
    last = last + 1
    isChanged = true
  elseif ARGV[i + 3] == 'false' then
    known[#known + 1] = redis.call('LINDEX', messages, redis.call('HGET', places, ARGV[i]) - last + redis.call('LLEN', messages))
  end
end
if isChanged then
  bytes = trim(messages, places, bytes, ARGV[3], ARGV[4])
  id = id or ARGV[1]
  redis.call('HSET', meta, 'id', id, 'end', last, 'bytes', bytes)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
end
local reply = redis.call('HMGET', meta, 'id', 'end', 'at', 'listed')
for _, element in ipairs(known) do reply[#reply + 1] = element end
return reply
`)

/**
 * KEYS meta, messages, places. ARGV turn and role, element that is kept, element in its place, most messages, most bytes. Answers another
 * that is kept.
 */
export const REPLACE = new RedisScript(`${TRIM}
local meta, messages, places = KEYS[1], KEYS[2], KEYS[3]
local place = redis.call('HGET', places, ARGV[1])
if not place then return false end
local known = redis.call('HMGET', meta, 'end', 'bytes')
local index = place - known[1] + redis.call('LLEN', messages)
local kept = redis.call('LINDEX', messages, index)
if kept ~= ARGV[2] then return kept end
redis.call('LSET', messages, index, ARGV[3])
redis.call('HSET', meta, 'bytes', trim(messages, places, known[2] + #ARGV[3] - #kept, ARGV[4], ARGV[5]))
return false
`)

/** KEYS meta, messages. ARGV limit, and of the cursor the session's id and the position, or two empty texts. */
export const MESSAGES = new RedisScript(`
local known = redis.call('HMGET', KEYS[1], 'id', 'end', 'at', 'listed')
if not known[1] then return known end
local last = tonumber(known[2])
local first = last - redis.call('LLEN', KEYS[2])
local stop = last
if ARGV[2] ~= '' then
  stop = tonumber(ARGV[3])
  if ARGV[2] ~= known[1] or stop > last then stop = first end
end
local start = math.max(first, stop - ARGV[1])
known[5], known[6] = tostring(start), tostring(first)
if stop > start then
  for _, element in ipairs(redis.call('LRANGE', KEYS[2], start - first, stop - 1 - first)) do known[#known + 1] = element end
end
return known
`)

/** KEYS meta, messages, places. ARGV each turn and role that is asked for. */
export const TURN = new RedisScript(`
local known = redis.call('HMGET', KEYS[1], 'id', 'end', 'at', 'listed')
if not known[1] then return known end
local first = tonumber(known[2]) - redis.call('LLEN', KEYS[2])
local found = {}
for _, place in ipairs(redis.call('HMGET', KEYS[3], unpack(ARGV))) do
  if place then found[#found + 1] = tonumber(place) end
end
table.sort(found)
for _, place in ipairs(found) do known[#known + 1] = redis.call('LINDEX', KEYS[2], place - first) end
return known
`)

/** KEYS meta, messages, places. ARGV nothing, or the id and the end that the session must have. Answers the id that it had. */
export const FORGET = new RedisScript(`
local known = redis.call('HMGET', KEYS[1], 'id', 'end')
if #ARGV > 0 and (known[1] ~= ARGV[1] or known[2] ~= ARGV[2]) then return false end
redis.call('DEL', unpack(KEYS))
return known[1]
`)

/** KEYS meta. ARGV id, and up to where the list was told. */
export const NOTE_LISTED = new RedisScript(`
local known = redis.call('HMGET', KEYS[1], 'id', 'listed')
if known[1] == ARGV[1] and tonumber(known[2] or 0) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], 'listed', ARGV[2]) end
`)

/**
 * KEYS order, entries. ARGV the session's name, id, end and hour, ttl, most sessions, id for a new list. Moves the session up, unless the
 * list knows that much already; answers name and entry of those that had to go.
 */
export const TELL_LIST = new RedisScript(`
local order, entries = KEYS[1], KEYS[2]
local name, id, last = ARGV[1], ARGV[2], ARGV[3]
local knownId, knownEnd = string.match(redis.call('HGET', entries, name) or '', '^(%S+) (%d+) ')
if knownId == id and tonumber(knownEnd) >= tonumber(last) then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local top = redis.call('ZREVRANGE', order, 0, 0, 'WITHSCORES')[2]
redis.call('ZADD', order, string.format('%.0f', math.max(now, tonumber(top or 0) + 1)), name)
redis.call('HSETNX', entries, 'id', ARGV[7])
redis.call('HSET', entries, name, id .. ' ' .. last .. ' ' .. ARGV[4])
local gone = {}
local function remove (names)
  for _, each in ipairs(names) do
    gone[#gone + 1], gone[#gone + 2] = each, redis.call('HGET', entries, each)
    redis.call('HDEL', entries, each)
    redis.call('ZREM', order, each)
  end
end
remove(redis.call('ZRANGEBYSCORE', order, '-inf', string.format('%.0f', now - ARGV[5] * 1000), 'LIMIT', 0, 100))
local over = math.min(redis.call('ZCARD', order) - ARGV[6], 100)
if over > 0 then remove(redis.call('ZRANGE', order, 0, over - 1)) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[5]) end
return gone
`)

/** KEYS order, entries. ARGV the session's name and the id it must have. */
export const UNLIST = new RedisScript(`
if string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '', '^(%S+) ') == ARGV[2] then
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[1], ARGV[1])
end
`)

/**
 * KEYS order, entries. ARGV limit, and of the cursor the list's id and the rank, or two empty texts. Answers the list's id, then name, rank
 * and entry of each session.
 */
export const LIST = new RedisScript(`
local id = redis.call('HGET', KEYS[2], 'id')
if not id or (ARGV[2] ~= '' and ARGV[2] ~= id) then return { '' } end
local below = ARGV[2] == '' and '+inf' or '(' .. ARGV[3]
local rows = redis.call('ZREVRANGEBYSCORE', KEYS[1], below, '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local reply = { id }
for i = 1, #rows, 2 do
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = rows[i], rows[i + 1], redis.call('HGET', KEYS[2], rows[i]) or ''
end
return reply
`)
