--[[
Lets messages wait until they are due, by this server's clock.

KEYS   none
ARGV   1 prefix
       2 messages that may wait
       3… two for each message: its delay in milliseconds, and the message
Reads  delayed
Writes delayed
Gives  how many of the messages were taken: all of them, or 0 where there is no room
]]
local key, capacity = ARGV[1] .. 'delayed', tonumber(ARGV[2])
local count = (#ARGV - 2) / 2
if redis.call('ZCARD', key) + count > capacity then
  return 0
end
local time = redis.call('TIME')
-- rounded up: a message may be late, never early
local now = tonumber(time[1]) * 1000 + math.ceil(tonumber(time[2]) / 1000)
for i = 3, #ARGV, 2 do
  redis.call('ZADD', key, now + tonumber(ARGV[i]), ARGV[i + 1])
end
return count
