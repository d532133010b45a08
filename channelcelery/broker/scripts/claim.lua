#!lua flags=allow-oom
--[[
Finds messages whose worker is dead and claims them for a while, so that one process alone gives each of them back: those
whose lease has lapsed, and those of workers with Kombu's own transport, which have no lease, after its visibility time-out.

KEYS   1 unacked  2 unacked_index  3 unacked_leases  4 unacked_sweep
ARGV   1 milliseconds between two searches of all processes together  2 seconds of a claim  3 messages at most
       4 seconds of the visibility time-out
Reads  unacked
Writes unacked_sweep (string: a search was made lately), unacked_leases; unacked_index where it is out of date
Gives  {the end of the claim, tag, entry of unacked, tag, entry, …}, or nothing: another process has just searched
]]
local unacked, index, leases = KEYS[1], KEYS[2], KEYS[3]
if not redis.call('SET', KEYS[4], '1', 'NX', 'PX', ARGV[1]) then
  return {}
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
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

local lapsed = redis.call('ZRANGEBYSCORE', leases, '-inf', string.format('%.6f', now), 'LIMIT', 0, ARGV[3])
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
