--[[
Makes a connection a member of a group, and says so in its interface process's inbox: a group send after this call
travels behind the join. A full inbox takes it too.

KEYS   none
ARGV   1 prefix  2 node  3 group  4 token  5 proof that we wrote it, or empty where messages are not encrypted
Reads  node:<node>, nodes, tomb:<node>, inbox:<node>
Writes group:<name>, group:<name>:<node>, node:<node>:groups, inbox:<node>, inbox:<node>:bytes
Gives  1, or 0 where the node is dead and nothing was written; or -1, likewise, where there is no trace of the node: Redis
       may have lost its data, and the node not yet made itself known again
Twin   core/reply_state.py, join; memory loses nothing, and has no -1
]]
local prefix, node, group, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', prefix .. 'node:' .. node) == 0 then
  local trace = redis.call('ZSCORE', prefix .. 'nodes', node) or redis.call('EXISTS', prefix .. 'tomb:' .. node) == 1
  return trace and 0 or -1
end
local key, inbox = prefix .. 'group:' .. group, prefix .. 'inbox:' .. node
redis.call('SADD', key, '!' .. node)
redis.call('SADD', key .. ':' .. node, token)
redis.call('SADD', prefix .. 'node:' .. node .. ':groups', group)
if redis.call('XLEN', inbox) == 0 then
  redis.call('DEL', inbox .. ':bytes')
end
local proof = ARGV[5] or ''
if proof == '' then
  redis.call('XADD', inbox, '*', 'j', group, 'k', token)
else
  redis.call('XADD', inbox, '*', 'j', group, 'k', token, 's', proof)
end
redis.call('INCRBY', inbox .. ':bytes', #group + #token + #proof)
return 1
