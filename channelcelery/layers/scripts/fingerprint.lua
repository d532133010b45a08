--[[
Compares the layer's fingerprint with that of the processes that are alive; the first one's counts.

KEYS   none
ARGV   1 prefix  2 this process's fingerprint  3 seconds that it counts without being renewed
Reads  fingerprint
Writes fingerprint
Gives  the fingerprint that counts
]]
local key = ARGV[1] .. 'fingerprint'
if redis.call('GET', key) == ARGV[2] then
  redis.call('EXPIRE', key, ARGV[3])
else
  redis.call('SET', key, ARGV[2], 'NX', 'EX', ARGV[3])
end
return redis.call('GET', key)
