--[[
An interface process's sign of life. Where Redis does not know it any more nothing is written: until open.lua has run
nobody writes into its inbox either, so that its reader can start anew without reading anything twice.

KEYS   none
ARGV   1 prefix  2 node  3 milliseconds that a sign of life counts  4 epoch  5 run id of Redis, as open.lua gave them
       6 id of the last entry that the node read  7 the layer's fingerprint or ""  8 seconds that it counts
Reads  epoch, inbox:<node>, node:<node>, nodes, fingerprint
Writes node:<node>, nodes, fingerprint
Gives  "alive"; or "emptied": Redis lost its data; or "behind": the inbox ends before what was read from it;
       or "lost": the node is not known, or Redis was started again and may have lost its last writes.
       Whether the node is not known since others took it for dead, open.lua tells
]]
local prefix, node, expiry = ARGV[1], ARGV[2], ARGV[3]
if redis.call('GET', prefix .. 'epoch') ~= ARGV[4] then
  return 'emptied'
end

local function parts(id)
  local milliseconds, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(milliseconds), tonumber(sequence)
end

local function last_id()
  if redis.call('EXISTS', prefix .. 'inbox:' .. node) == 0 then
    return '0-0'
  end
  local info = redis.call('XINFO', 'STREAM', prefix .. 'inbox:' .. node)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      return info[i + 1]
    end
  end
end

local last, last_sequence = parts(last_id())
local read, read_sequence = parts(ARGV[6])
if last < read or last == read and last_sequence < read_sequence then
  return 'behind'
end
-- the first write is one that a Redis that is out of memory does not refuse: then it refuses none of the others
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
if run_id ~= ARGV[5] or not redis.call('ZSCORE', prefix .. 'nodes', node)
    or redis.call('PEXPIRE', prefix .. 'node:' .. node, expiry) == 0 then
  return 'lost'
end

local time = redis.call('TIME')
redis.call('ZADD', prefix .. 'nodes', time[1] * 1000 + math.floor(time[2] / 1000), node)
if ARGV[7] ~= '' then
  if redis.call('GET', prefix .. 'fingerprint') == ARGV[7] then
    redis.call('EXPIRE', prefix .. 'fingerprint', ARGV[8])
  else
    redis.call('SET', prefix .. 'fingerprint', ARGV[7], 'NX', 'EX', ARGV[8])
  end
end
return 'alive'
