--[[
Puts a message into its queue, unless the queue is full, and rings its bell.

KEYS   1 the queue's bell  2 the list of the message's priority  then the queue's lists of all priorities
ARGV   1 the message  2 messages that the queue may hold, or "0": any number
       3 milliseconds after which a queue that nobody uses ends, or "0": never  4 "first": it is the next to be taken
Writes the list, the bell (a list of one entry, which ends after a minute: a consumer looks at its queues anyway)
Gives  1, or 0: the queue is full and took nothing
]]
if ARGV[2] ~= '0' then
  local held = 0
  for i = 3, #KEYS do
    held = held + redis.call('LLEN', KEYS[i])
  end
  if held >= tonumber(ARGV[2]) then
    return 0
  end
end
redis.call(ARGV[4] == 'first' and 'RPUSH' or 'LPUSH', KEYS[2], ARGV[1])
if ARGV[3] ~= '0' then
  for i = 3, #KEYS do
    redis.call('PEXPIRE', KEYS[i], ARGV[3])
  end
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('LPUSH', KEYS[1], '1')
  redis.call('PEXPIRE', KEYS[1], 60000)
end
return 1
