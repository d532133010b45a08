--[[
Takes note of what an interface process says of its connections. Removals always happen; additions only while the node
is alive, so that nothing is written for a dead one.

KEYS   none
ARGV   1 prefix  2 node  3 "1": forget the connections that were known
       4 to 7 how many opened, closed, left, joined follow
       then for each: token, path | token | group, token | group, token
Reads  node:<node>
Writes node:<node>:channels, group:<name>, group:<name>:<node>, node:<node>:groups; order:<token> and parked:<token> of
       what closed end after 2 minutes
Gives  1, or 0 where the node is dead
Twin   core/reply_state.py, record
]]
local prefix, node = ARGV[1], ARGV[2]
local channels, groups = prefix .. 'node:' .. node .. ':channels', prefix .. 'node:' .. node .. ':groups'
local alive = redis.call('EXISTS', prefix .. 'node:' .. node)
local at = 8

local function each(count, width, act)
  for _ = 1, tonumber(count) do
    if act then
      act(ARGV[at], ARGV[at + 1])
    end
    at = at + width
  end
end

-- what is said of the order of its messages is not needed for long; most connections have none
local function forget_order(token)
  local left = redis.call('PTTL', prefix .. 'order:' .. token)
  if left > 120000 then
    redis.call('PEXPIRE', prefix .. 'order:' .. token, 120000)
    redis.call('PEXPIRE', prefix .. 'parked:' .. token, 120000)
  end
end

if ARGV[3] == '1' then
  redis.call('UNLINK', channels)
end
each(ARGV[4], 2, alive == 1 and function(token, path)
  redis.call('HSET', channels, token, path)
end)
each(ARGV[5], 1, function(token)
  redis.call('HDEL', channels, token)
  forget_order(token)
end)
each(ARGV[6], 2, function(group, token)
  local key = prefix .. 'group:' .. group
  redis.call('SREM', key .. ':' .. node, token)
  if redis.call('EXISTS', key .. ':' .. node) == 0 then
    redis.call('SREM', key, '!' .. node)
    redis.call('SREM', groups, group)
  end
end)
each(ARGV[7], 2, alive == 1 and function(group, token)
  local key = prefix .. 'group:' .. group
  redis.call('SADD', key, '!' .. node)
  redis.call('SADD', key .. ':' .. node, token)
  redis.call('SADD', groups, group)
end)
return alive
