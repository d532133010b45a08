--[[
Lists a group's members.

KEYS   none
ARGV   1 prefix  2 group
Reads  group:<name>, group:<name>:<node>, node:<node>
Writes nothing
Gives  for each normal channel its name, for each node that is alive {node, token…}
Twin   core/reply_state.py, members
]]
local prefix, key = ARGV[1], ARGV[1] .. 'group:' .. ARGV[2]
local found = {}
for _, member in ipairs(redis.call('SMEMBERS', key)) do
  if string.sub(member, 1, 1) ~= '!' then
    found[#found + 1] = member
  else
    local node = string.sub(member, 2)
    if redis.call('EXISTS', prefix .. 'node:' .. node) == 1 then
      local tokens = redis.call('SMEMBERS', key .. ':' .. node)
      table.insert(tokens, 1, node)
      found[#found + 1] = tokens
    end
  end
end
return found
