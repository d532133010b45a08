--[[
Tells how interface processes are.

KEYS   none
ARGV   1 prefix  2 the node, or "" for all
Reads  nodes, node:<node>, node:<node>:channels, node:<node>:groups, inbox:<node>, inbox:<node>:bytes
Writes nothing
Gives  for each {node, 1 if it is alive, connections, groups, entries that wait in its inbox, their bytes, milliseconds
       that the oldest of them has waited}
Twin   core/reply_state.py, status
]]
local prefix = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes = ARGV[2] ~= '' and {ARGV[2]} or redis.call('ZRANGE', prefix .. 'nodes', 0, -1)
local found = {}
for _, node in ipairs(nodes) do
  local key, inbox = prefix .. 'node:' .. node, prefix .. 'inbox:' .. node
  local oldest, lag = redis.call('XRANGE', inbox, '-', '+', 'COUNT', 1)[1], 0
  if oldest then
    lag = math.max(0, now - tonumber(string.match(oldest[1], '^%d+')))
  end
  local entries = redis.call('XLEN', inbox)
  found[#found + 1] = {
    node,
    redis.call('EXISTS', key),
    redis.call('HLEN', key .. ':channels'),
    redis.call('SCARD', key .. ':groups'),
    entries,
    entries > 0 and tonumber(redis.call('GET', inbox .. ':bytes') or 0) or 0,
    lag,
  }
end
return found
