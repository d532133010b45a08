--[[
Takes messages that are due out of those that wait: each is given to one caller.

KEYS   none
ARGV   1 prefix  2 messages to take at most
Reads  delayed
Writes delayed
Gives  the messages, the one that was due first in front
]]
local key = ARGV[1] .. 'delayed'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local due = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
for _, message in ipairs(due) do
  redis.call('ZREM', key, message)
end
return due
