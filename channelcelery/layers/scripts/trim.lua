--[[
Removes what an interface process read from its inbox.

KEYS   none
ARGV   1 prefix  2 node  3 the first id that stays  4 bytes of what goes
Reads  inbox:<node>, inbox:<node>:bytes
Writes inbox:<node>, inbox:<node>:bytes
Gives  how many entries went
]]
local inbox = ARGV[1] .. 'inbox:' .. ARGV[2]
local gone = redis.call('XTRIM', inbox, 'MINID', ARGV[3])
if gone > 0 then
  local unread = (redis.call('GET', inbox .. ':bytes') or 0) - ARGV[4]
  if unread > 0 then
    redis.call('SET', inbox .. ':bytes', unread)
  else
    redis.call('DEL', inbox .. ':bytes')
  end
end
return gone
