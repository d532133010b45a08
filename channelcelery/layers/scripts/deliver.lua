--[[
Puts replies and group sends into the inboxes of interface processes, in order.

KEYS   none: a group's nodes are found on the way, so this cannot run on Redis Cluster
ARGV   1 prefix
       2 entries that an inbox may hold
       3 bytes that an inbox may hold
       4 "1": write where an inbox is full too
       5… three for each operation: "r", node, replies; or "g", group, content
Reads  node:<node>, inbox:<node>, inbox:<node>:bytes, group:<name>
Writes inbox:<node>, inbox:<node>:bytes; where a node is dead group:<name>, group:<name>:<node>
Gives  for each operation 0, or {inboxes that are full, nodes that are gone, normal channel…}
Twin   core/reply_state.py, deliver
]]
local prefix, capacity, limit, forced = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local inboxes = {}

local function inbox_of(node)
  local inbox = inboxes[node]
  if inbox == nil then
    inbox = false
    if redis.call('EXISTS', prefix .. 'node:' .. node) == 1 then
      local key = prefix .. 'inbox:' .. node
      local entries = redis.call('XLEN', key)
      local unread = entries > 0 and tonumber(redis.call('GET', key .. ':bytes') or 0) or 0
      inbox = {key = key, entries = entries, unread = unread, written = false}
    end
    inboxes[node] = inbox
  end
  return inbox
end

local function put(inbox, size, ...)
  local fits = inbox.entries < capacity and inbox.unread + size <= limit
  if not (forced or fits or inbox.entries == 0) then
    return false
  end
  redis.call('XADD', inbox.key, '*', ...)
  inbox.entries = inbox.entries + 1
  inbox.unread = inbox.unread + size
  inbox.written = true
  return true
end

local function reply(node, replies)
  local inbox = inbox_of(node)
  if not inbox then
    return {0, 1}
  end
  return put(inbox, #replies, 'r', replies) and 0 or {1, 0}
end

local function send_group(group, content)
  local key = prefix .. 'group:' .. group
  local full, gone, forward = 0, 0, {}
  for _, member in ipairs(redis.call('SMEMBERS', key)) do
    if string.sub(member, 1, 1) ~= '!' then
      forward[#forward + 1] = member
    else
      local node = string.sub(member, 2)
      local inbox = inbox_of(node)
      if not inbox then
        gone = gone + 1
        redis.call('SREM', key, member)
        redis.call('UNLINK', key .. ':' .. node)
      elseif not put(inbox, #group + #content, 'g', group, 'b', content) then
        full = full + 1
      end
    end
  end
  if full == 0 and gone == 0 and #forward == 0 then
    return 0
  end
  local outcome = {full, gone}
  for _, channel in ipairs(forward) do
    outcome[#outcome + 1] = channel
  end
  return outcome
end

local outcomes = {}
for i = 5, #ARGV, 3 do
  local operation = ARGV[i] == 'r' and reply or send_group
  outcomes[#outcomes + 1] = operation(ARGV[i + 1], ARGV[i + 2])
end
for _, inbox in pairs(inboxes) do
  if inbox and inbox.written then
    redis.call('SET', inbox.key .. ':bytes', inbox.unread)
  end
end
return outcomes
