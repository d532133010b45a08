--[[
Makes an interface process known and alive.

KEYS   none
ARGV   1 prefix  2 node  3 milliseconds that a sign of life counts  4 a random epoch, used if there is none
Reads  tomb:<node>
Writes epoch, node:<node>, nodes
Gives  {epoch, run id of this Redis}, or 0 where others took the node for dead
]]
local prefix, node, expiry = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', prefix .. 'tomb:' .. node) == 1 then
  return 0
end
redis.call('SET', prefix .. 'epoch', ARGV[4], 'NX')
local time = redis.call('TIME')
redis.call('SET', prefix .. 'node:' .. node, '1', 'PX', expiry)
redis.call('ZADD', prefix .. 'nodes', time[1] * 1000 + math.floor(time[2] / 1000), node)
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
return {redis.call('GET', prefix .. 'epoch'), run_id}
