#!lua flags=allow-oom
--[[
Renews the leases of messages whose worker lives. One that has lapsed and was given back stays so.

KEYS   1 unacked_index  2 unacked_leases
ARGV   1 seconds of a lease  then the tags
Writes both
Gives  nothing
]]
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local taken_at, ends_at = string.format('%.6f', now), string.format('%.6f', now + ARGV[1])
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', taken_at, ARGV[i])
  redis.call('ZADD', KEYS[2], 'XX', ends_at, ARGV[i])
end
