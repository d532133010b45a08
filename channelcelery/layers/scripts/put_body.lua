--[[
Puts a piece of a request's body where the worker that reads it takes it.

KEYS   none
ARGV   1 prefix  2 token  3 the piece  4 pieces that may wait  5 milliseconds that they are kept
Reads  body:<token>
Writes body:<token>
Gives  1, or 0 where there is no room
Twin   layers/memory_pieces.py, put
]]
local key = ARGV[1] .. 'body:' .. ARGV[2]
if redis.call('LLEN', key) >= tonumber(ARGV[4]) then
  return 0
end
redis.call('RPUSH', key, ARGV[3])
redis.call('PEXPIRE', key, ARGV[5])
return 1
