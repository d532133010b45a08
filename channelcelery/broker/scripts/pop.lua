#!lua flags=allow-oom
--[[
Settles what was acknowledged, then takes messages out of their queues and registers them in the same step: whoever is
killed at any moment leaves each message either in its queue or with a lease that lapses. Registration comes first, so
that an error on the way leaves a message twice rather than not at all. Runs out of memory too: the taking frees it.

KEYS   1 unacked  2 unacked_index  3 unacked_leases
       then for each queue its bell; then for each priority, the most urgent first, each queue's list
ARGV   1 messages that may be taken  2 seconds of a lease  3 "1": take from the queues in turn, "0": in their order
       4 what the tags of this pop begin with  5 number of queues
       6 bytes after which no more is taken of a queue that is read without acknowledgements
       then for each queue its name as JSON, or a number: it is read without acknowledgements, and so many are taken at most
       then the tags that are acknowledged
Reads  the lists
Writes unacked (hash: tag -> [message, "", queue]), unacked_index (sorted set: tag -> when it was taken),
       unacked_leases (sorted set: tag -> when its lease ends), the lists, the bells
Gives  {number of a queue from 1, tag or "", message, number, tag, message, …}, in the order of their taking
]]
local unacked, index, leases = KEYS[1], KEYS[2], KEYS[3]
local room, turns, prefix, queues = tonumber(ARGV[1]), ARGV[3] == '1', ARGV[4], tonumber(ARGV[5])

for i = 7 + queues, #ARGV do
  redis.call('HDEL', unacked, ARGV[i])
  redis.call('ZREM', index, ARGV[i])
  redis.call('ZREM', leases, ARGV[i])
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local taken_at, ends_at = string.format('%.6f', now), string.format('%.6f', now + ARGV[2])

-- how many of each list
local left, share, limit = {}, {}, {}
for i = 4 + queues, #KEYS do
  left[i], share[i] = redis.call('LLEN', KEYS[i]), 0
end
for queue = 1, queues do
  limit[queue] = tonumber(ARGV[6 + queue])
end
for first = 4 + queues, #KEYS, queues do
  local found = true
  while room > 0 and found do
    found = false
    for i = first, first + queues - 1 do
      local queue = (i - 4) % queues + 1
      local count = math.min(room, left[i], turns and 1 or room, limit[queue] or room)
      if count > 0 then
        limit[queue] = limit[queue] and limit[queue] - count
        share[i], left[i], room, found = share[i] + count, left[i] - count, room - count, true
      end
    end
  end
end

-- the oldest of a list, the last first, until they have so many bytes: how many items each carries shows in its size only
local function oldest(list, count, most)
  local found, bytes = {}, 0
  while #found < count and bytes < most do
    found[#found + 1] = redis.call('LINDEX', list, -1 - #found)
    bytes = bytes + #found[#found]
  end
  return found
end

local answer, registered = {}, 0
for i = 4 + queues, #KEYS do
  if share[i] > 0 then
    local queue = (i - 4) % queues + 1
    local messages = oldest(KEYS[i], share[i], limit[queue] and tonumber(ARGV[6]) or math.huge)
    left[i], share[i] = left[i] + share[i] - #messages, #messages
    for m = 1, #messages do
      local tag = ''
      if not limit[queue] then
        registered = registered + 1
        tag = string.format('%s%02d', prefix, registered)  -- in the order of their names too
        redis.call('HSET', unacked, tag, '[' .. messages[m] .. ', "", ' .. ARGV[6 + queue] .. ']')
        redis.call('ZADD', index, taken_at, tag)
        redis.call('ZADD', leases, ends_at, tag)
      end
      answer[#answer + 1] = queue
      answer[#answer + 1] = tag
      answer[#answer + 1] = messages[m]
    end
    redis.call('LTRIM', KEYS[i], 0, -share[i] - 1)
  end
end

-- the next consumer is woken only while there is something for it
for queue = 1, queues do
  local waiting = 0
  for i = 3 + queues + queue, #KEYS, queues do
    waiting = waiting + left[i]
  end
  local bell = KEYS[3 + queue]
  if waiting == 0 then
    redis.call('DEL', bell)
  elseif redis.call('EXISTS', bell) == 0 then
    redis.call('LPUSH', bell, '1')
    redis.call('PEXPIRE', bell, 60000)
  end
end
return answer
