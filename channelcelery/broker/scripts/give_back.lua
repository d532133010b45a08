#!lua flags=allow-oom
--[[
Puts registered messages back into their queues, each only if it is still registered.

KEYS   1 unacked  2 unacked_index  3 unacked_leases  then for each list that gets some: the list, its queue's bell
ARGV   1 the end of the claim of claim.lua, or "": the messages are the caller's own
       2 "R": they are the next to be taken, "L": the last
       then for each message: its tag, the message, the number of lists that get it, their numbers from 1
Writes the three, the lists, the bells
Gives  how many were put back
]]
local unacked, index, leases, claim = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local push = ARGV[2] .. 'PUSH'
local given, i = 0, 3
while i <= #ARGV do
  local tag, message, targets = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  if redis.call('HEXISTS', unacked, tag) == 1 and (claim == '' or redis.call('ZSCORE', leases, tag) == claim) then
    for target = i + 3, i + 2 + targets do
      local list, bell = KEYS[2 + 2 * ARGV[target]], KEYS[3 + 2 * ARGV[target]]
      redis.call(push, list, message)
      if redis.call('EXISTS', bell) == 0 then
        redis.call('LPUSH', bell, '1')
        redis.call('PEXPIRE', bell, 60000)
      end
    end
    redis.call('HDEL', unacked, tag)
    redis.call('ZREM', index, tag)
    redis.call('ZREM', leases, tag)
    given = given + 1
  end
  i = i + 3 + targets
end
return given
