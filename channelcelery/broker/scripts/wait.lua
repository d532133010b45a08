--[[
Lets a message wait until it may be taken, by this server's clock.

KEYS   1 the sorted set of what waits
ARGV   1 milliseconds  2 the entry: a JSON array of the list's name, the bell's name and the message
Writes the set
]]
local time = redis.call('TIME')
-- rounded up: a message may be late, never early
local now = tonumber(time[1]) * 1000 + math.ceil(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ARGV[2])
