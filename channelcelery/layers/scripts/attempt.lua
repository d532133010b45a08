--[[
Counts a run of a message that was delivered before: one more than any that is known.

KEYS   none
ARGV   1 prefix  2 the message's id  3 the attempt that the message says it is  4 seconds to keep the count
Reads  attempts:<id>
Writes attempts:<id>
Gives  the number of the run
]]
local key = ARGV[1] .. 'attempts:' .. ARGV[2]
local number = math.max(tonumber(ARGV[3]), tonumber(redis.call('GET', key) or 0)) + 1
redis.call('SET', key, number, 'EX', tonumber(ARGV[4]))
return number
