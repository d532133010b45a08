--[[
Removes every key of one interface process: of itself when it ends, or of one that died. Called again while groups are
left, so that a node with very many does not hold up Redis; the first call already ends it, as far as others can see.

KEYS   none
ARGV   1 prefix
       2 the node, which ends; or "": one that gave no sign of life for too long, by Redis's clock
       3 milliseconds that a sign of life counts
       4 seconds that a dead node's tombstone stays
       5 groups that one call clears at most
Reads  nodes, node:<node>, node:<node>:groups, node:<node>:channels
Writes nodes, node:<node>, node:<node>:channels, node:<node>:groups, inbox:<node>, inbox:<node>:bytes, group:<name>,
       group:<name>:<node>, tomb:<node>; and fingerprint when the last node ends; order:<token> and parked:<token> of
       its connections end after 2 minutes
Gives  {node, 1 if groups are left, token, path, token, path, …}, or 0 where no node is dead
Twin   core/reply_state.py, clear and reap
]]
local prefix, node = ARGV[1], ARGV[2]
local nodes, died = prefix .. 'nodes', ARGV[2] == ''

if died then
  local time = redis.call('TIME')
  local latest = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[3]
  for _, candidate in ipairs(redis.call('ZRANGEBYSCORE', nodes, '-inf', latest)) do
    -- it may live by a longer expiry than this caller's
    if redis.call('EXISTS', prefix .. 'node:' .. candidate) == 0 then
      node = candidate
      break
    end
  end
  if node == '' then
    return 0
  end
end

local key, inbox = prefix .. 'node:' .. node, prefix .. 'inbox:' .. node
local result = redis.call('HGETALL', key .. ':channels')
for i = 1, #result, 2 do
  local left = redis.call('PTTL', prefix .. 'order:' .. result[i])
  if left > 120000 then
    redis.call('PEXPIRE', prefix .. 'order:' .. result[i], 120000)
    redis.call('PEXPIRE', prefix .. 'parked:' .. result[i], 120000)
  end
end
-- first, since a Redis that is out of memory does not refuse it, and then refuses none of the others
redis.call('UNLINK', key, key .. ':channels', inbox, inbox .. ':bytes', prefix .. 'tomb:' .. node)
if died then
  redis.call('SET', prefix .. 'tomb:' .. node, '1', 'EX', ARGV[4])
end
for _, group in ipairs(redis.call('SPOP', key .. ':groups', ARGV[5])) do
  redis.call('SREM', prefix .. 'group:' .. group, '!' .. node)
  redis.call('UNLINK', prefix .. 'group:' .. group .. ':' .. node)
end
local left = redis.call('EXISTS', key .. ':groups')
if left == 0 then
  redis.call('ZREM', nodes, node)
  if not died and redis.call('EXISTS', nodes) == 0 then
    redis.call('DEL', prefix .. 'fingerprint')
  end
end
table.insert(result, 1, left)
table.insert(result, 1, node)
return result
