#!lua flags=allow-oom
--[[
Forgets messages that were acknowledged.

KEYS   1 unacked  2 unacked_index  3 unacked_leases
ARGV   the tags
Writes the three
Gives  how many of them were registered
]]
local known = 0
for i = 1, #ARGV do
  known = known + redis.call('HDEL', KEYS[1], ARGV[i])
  redis.call('ZREM', KEYS[2], ARGV[i])
  redis.call('ZREM', KEYS[3], ARGV[i])
end
return known
