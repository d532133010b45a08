#!lua flags=allow-oom
--[[
Finds messages whose worker is dead and claims them for a while, so that one process alone gives each of them back: those
whose lease has lapsed, and those of workers with Kombu's own transport, which have no lease, after its visibility time-out.

While Redis is away nobody can renew a lease, and afterwards all may have lapsed although their workers live: so a lease is
claimed only if, since it was renewed, some process or other was asking here for as long as living workers need to renew
theirs, in one go or several. It need not be in one go, or a worker that is killed again and again, and is the only one,
would never give back what its predecessors had.

KEYS   1 unacked  2 unacked_index  3 unacked_leases  4 unacked_sweep
ARGV   1 seconds between two searches of all processes together  2 seconds of a claim  3 messages at most
       4 seconds of the visibility time-out  5 seconds of a lease, which is renewed every third of it
Reads  unacked
Writes unacked_sweep (hash: since when there was no gap, when somebody asked last, when somebody searched last; and such
       times without a gap before, the latest first, as JSON),
       unacked_leases; unacked_index where it is out of date
Gives  {the end of the claim, tag, entry of unacked, tag, entry, …}, or nothing: it is too soon for a search
]]
local unacked, index, leases, sweep = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lease = tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local stamp = string.format('%.6f', now)

local state = redis.call('HMGET', sweep, 'since', 'asked', 'searched', 'earlier')
local since, asked = tonumber(state[1] or now), tonumber(state[2] or now)
local earlier = cjson.decode(state[4] or '[]')
if now - asked > lease / 2 then
  table.insert(earlier, 1, { since, asked })
  earlier[11] = nil
  redis.call('HSET', sweep, 'earlier', cjson.encode(earlier))
  since = now
end
redis.call('HSET', sweep, 'since', string.format('%.6f', since), 'asked', stamp)

-- the moment since when somebody was asking for long enough
local moment, needed, from, to = nil, lease * 2 / 3, since, now
for i = 1, #earlier + 1 do
  if to - from >= needed then
    moment = to - needed
    break
  end
  needed = needed - (to - from)
  from, to = unpack(earlier[i] or {})
end
if not moment or now - (state[3] or 0) < tonumber(ARGV[1]) then
  return {}
end
redis.call('HSET', sweep, 'searched', stamp)
-- a whole number, which no lease is: give_back.lua recognises it
local claim = string.format('%d', math.floor(now) + ARGV[2])

local answer = { claim }
local function add(tag)
  local entry = redis.call('HGET', unacked, tag)
  if entry then
    redis.call('ZADD', leases, claim, tag)
    answer[#answer + 1] = tag
    answer[#answer + 1] = entry
  else
    redis.call('ZREM', index, tag)
    redis.call('ZREM', leases, tag)
  end
end

-- a lease that ends later was renewed after that moment
local ended = string.format('%.6f', math.min(now, moment + lease))
local lapsed = redis.call('ZRANGEBYSCORE', leases, '-inf', ended, 'LIMIT', 0, ARGV[3])
for _, tag in ipairs(lapsed) do
  add(tag)
end
local latest = string.format('%.6f', now - ARGV[4])
for _, tag in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', latest, 'LIMIT', 0, ARGV[3])) do
  if not redis.call('ZSCORE', leases, tag) then
    add(tag)
  end
end
return answer
