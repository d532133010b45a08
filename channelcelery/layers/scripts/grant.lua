--[[
Lets a worker send more pieces of a response, or tells it that nobody takes them any more. The credits are the one
element of a list, since a worker can wait for that.

KEYS   none
ARGV   1 prefix  2 token  3 credits, or what says that nobody takes pieces  4 the latter  5 milliseconds that it is kept
Reads  window:<token>
Writes window:<token>
Gives  nothing
Twin   layers/memory_pieces.py, grant
]]
local key, gone = ARGV[1] .. 'window:' .. ARGV[2], tonumber(ARGV[4])
local had, more = tonumber(redis.call('LPOP', key) or 0), tonumber(ARGV[3])
local credits = had + more
if had == gone or more == gone then
  credits = gone
end
redis.call('RPUSH', key, string.format('%d', credits))
redis.call('PEXPIRE', key, ARGV[5])
