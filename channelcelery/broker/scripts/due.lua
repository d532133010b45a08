#!lua flags=allow-oom
--[[
Moves messages that waited for long enough into their queues, and rings the bells: nothing is in neither place.

KEYS   1 the sorted set of what waits
ARGV   1 messages to move at most
Writes the set, and the lists and bells that its entries name
Gives  how many were moved
]]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, tonumber(ARGV[1]))
for _, entry in ipairs(due) do
  local list, bell, message = unpack(cjson.decode(entry))
  redis.call('LPUSH', list, message)
  if redis.call('EXISTS', bell) == 0 then
    redis.call('LPUSH', bell, '1')
    redis.call('PEXPIRE', bell, 60000)
  end
  redis.call('ZREM', KEYS[1], entry)
end
return #due
