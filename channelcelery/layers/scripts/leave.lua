--[[
Ends a connection's membership of a group, and says so in its interface process's inbox. A full inbox takes it too.

KEYS   none
ARGV   1 prefix  2 node  3 group  4 token
Reads  node:<node>, inbox:<node>
Writes group:<name>, group:<name>:<node>, node:<node>:groups; where the node is alive inbox:<node>, inbox:<node>:bytes
Gives  1, or 0 where the node is dead
Twin   core/reply_state.py, leave
]]
local prefix, node, group, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key, inbox = prefix .. 'group:' .. group, prefix .. 'inbox:' .. node
redis.call('SREM', key .. ':' .. node, token)
if redis.call('EXISTS', key .. ':' .. node) == 0 then
  redis.call('SREM', key, '!' .. node)
  redis.call('SREM', prefix .. 'node:' .. node .. ':groups', group)
end
if redis.call('EXISTS', prefix .. 'node:' .. node) == 0 then
  return 0
end
if redis.call('XLEN', inbox) == 0 then
  redis.call('DEL', inbox .. ':bytes')
end
redis.call('XADD', inbox, '*', 'l', group, 'k', token)
redis.call('INCRBY', inbox .. ':bytes', #group + #token)
return 1
