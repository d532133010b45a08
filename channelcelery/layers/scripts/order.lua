--[[
Decides whose turn it is among the messages of a connection, by this server's clock.

KEYS   none
ARGV   1 prefix
       2 milliseconds without a sign of progress after which a connection goes on
       3 milliseconds after which what it went on with is handed on once more
       4 messages that one connection may have parked  5 bytes, likewise
       6 milliseconds that the state of a connection is kept without a message  7 after its last one  8 after it closed
       9 the operation, then what is its own:
         "enter", token, how many other messages the caller runs now, the channels that it may run with a space around
           each, number, channel, item, "1" for slight order
         "leave", token, two as above, number, and channel and item if this message is to have its turn once more
         "renew", then token and number of each message that runs
         "sweep", connections that are looked at, at most
Reads  order:<token>, parked:<token>, ordering
Writes order:<token> (hash: n number that runs or is next, r it runs, e it is the last, s slight order, o the last ran,
       a n was handed on twice, b bytes parked), parked:<token> (hash: number -> channel, space, item), ordering (sorted
       set: token, by the millisecond at which it waits for too long)
Gives  enter: {"run", "free", "parked", "late" or "full"}, then number, channel and item of what is to be run instead
       leave: {1 if what follows is the caller's to run and not to hand on, number, channel and item, …}
       renew: how many were still running
       sweep: {messages that gave no more sign of life, messages that never came, number, channel and item, …}
Twin   core/order_state.py
]]
local prefix, operation = ARGV[1], ARGV[9]
local patience, again_after = tonumber(ARGV[2]), tonumber(ARGV[3])
local max_parked, max_bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local expiry, over_expiry, closed_expiry = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local index, last_channel, last = prefix .. 'ordering', 'websocket.disconnect', '9007199254740991'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function load(token)
  local key = prefix .. 'order:' .. token
  local fields = redis.call('HMGET', key, 'n', 'r', 'e', 's', 'o', 'a')
  return {
    token = token, key = key, parked = prefix .. 'parked:' .. token, known = fields[1] and true,
    next = tonumber(fields[1] or 0), running = fields[2] == '1', ends = fields[3] == '1', slight = fields[4] == '1',
    over = fields[5] == '1', again = fields[6] == '1',
  }
end

local function text(number)
  return string.format('%.0f', number)
end

local function channel_of(value)
  return string.match(value, '^[^ ]+')
end

local function look(order, after)
  redis.call('ZADD', index, now + after, order.token)
end

local function keep(order)
  local left = redis.call('PTTL', order.key)
  if left < 0 or left > closed_expiry then
    redis.call('PEXPIRE', order.key, expiry)
    return expiry
  end
  return left
end

local function unpark(order, number)
  local size = redis.call('HSTRLEN', order.parked, number)
  if size > 0 then
    redis.call('HDEL', order.parked, number)
    redis.call('HINCRBY', order.key, 'b', -size)
  end
end

local function put(order, number, value)
  redis.call('HSET', order.key, 'n', text(order.next))
  redis.call('HINCRBY', order.key, 'b', #value)
  redis.call('HSET', order.parked, number, value)
  redis.call('PEXPIRE', order.parked, keep(order))
end

local function run(order, number, channel)
  unpark(order, number)
  redis.call('HSET', order.key, 'n', number, 'r', '1', 'a', '0', 'e', channel == last_channel and '1' or '0')
  look(order, patience)
  keep(order)
end

local function finish(order)
  redis.call('DEL', order.key, order.parked)
  redis.call('ZREM', index, order.token)
  redis.call('HSET', order.key, 'n', '0', 'o', '1')
  redis.call('PEXPIRE', order.key, over_expiry)
end

-- of slight order: what waited may run now, at the same time
local function release(order, handed)
  local parked = redis.call('HGETALL', order.parked)
  local numbers, values = {}, {}
  for i = 1, #parked, 2 do
    numbers[#numbers + 1] = parked[i]
    values[parked[i]] = parked[i + 1]
  end
  table.sort(numbers, function(one, other) return tonumber(one) < tonumber(other) end)
  for _, number in ipairs(numbers) do
    handed[#handed + 1] = number
    handed[#handed + 1] = values[number]
  end
  redis.call('DEL', order.key, order.parked)
  redis.call('ZREM', index, order.token)
  return handed
end

local function park(order, number, channel, item)
  if redis.call('HEXISTS', order.parked, number) == 1 then
    return 'late'
  end
  local value = channel .. ' ' .. item
  local count = redis.call('HLEN', order.parked)
  local size = tonumber(redis.call('HGET', order.key, 'b') or 0) + #value
  if count > 0 and (count >= max_parked or size > max_bytes) and channel ~= last_channel then
    return 'full'
  end
  put(order, number, value)
  if not order.running and count == 0 then
    look(order, patience)
  end
  return 'parked'
end

local function enter_slightly(order, number, channel, item)
  local late = number == '0' and 'late' or 'free'
  if order.known and (order.over or not order.running or order.next > 0) then
    unpark(order, number)
    return late
  end
  if order.known then
    return late == 'late' and late or park(order, number, channel, item)
  end
  if number == '0' then
    redis.call('HSET', order.key, 's', '1')
    run(order, number, channel)
    return 'run'
  end
  if channel == last_channel then
    finish(order)
  end
  return 'free'
end

local function due(order, number)
  if number == text(order.next) then
    return true
  end
  local others = number == last and redis.call('HLEN', order.parked) - redis.call('HEXISTS', order.parked, last)
  return others == 0
end

-- what waits and is to run next
local function following(order)
  local number = text(order.next)
  local value = redis.call('HGET', order.parked, number)
  if not value and due(order, last) then
    number, value = last, redis.call('HGET', order.parked, last)
  end
  return number, value
end

local function take(order, number, value, room, channels)
  if not value or room == 0 or not string.find(channels, ' ' .. channel_of(value) .. ' ', 1, true) then
    return false
  end
  run(order, number, channel_of(value))
  order.next, order.running = tonumber(number), true
  return true
end

local function enter(token, room, channels, number, channel, item, slight)
  local order = load(token)
  if slight == '1' then
    return {enter_slightly(order, number, channel, item)}
  end
  local n = tonumber(number)
  if not order.known then
    order.next = math.min(n, 1)
  end
  if order.over or n < order.next or (order.running and n == order.next) then
    return {'late'}
  end
  if not order.running and due(order, number) then
    run(order, number, channel)
    return {'run'}
  end
  local next_number, next_value
  if not order.running then
    next_number, next_value = following(order)
    next_value = take(order, next_number, next_value, tonumber(room), channels) and next_value
  end
  local verdict = park(order, number, channel, item)
  return next_value and {verdict, next_number, next_value} or {verdict}
end

local function leave(token, room, channels, number, channel, item)
  local order = load(token)
  room = tonumber(room)
  if not order.running or text(order.next) ~= number then
    return {0}
  end
  if channel then
    local value = channel .. ' ' .. item
    put(order, number, value)
    redis.call('HSET', order.key, 'r', '0')
    look(order, patience)
    return {0, number, value}
  end
  if order.slight then
    return release(order, {0})
  end
  if order.ends then
    finish(order)
    return {0}
  end
  order.next = order.next + 1
  local next_number, value = following(order)
  if take(order, next_number, value, room, channels) then
    return {1, next_number, value}
  end
  redis.call('HSET', order.key, 'n', text(order.next), 'r', '0')
  if redis.call('EXISTS', order.parked) == 1 then
    look(order, patience)
  else
    redis.call('ZREM', index, token)
  end
  return value and {0, next_number, value} or {0}
end

local function renew(pairs)
  local renewed = 0
  for i = 1, #pairs, 2 do
    local order = load(pairs[i])
    if order.running and text(order.next) == pairs[i + 1] then
      look(order, patience)
      renewed = renewed + 1
    end
  end
  return renewed
end

local function lowest(order)
  local found
  for _, number in ipairs(redis.call('HKEYS', order.parked)) do
    if not found or tonumber(number) < tonumber(found) then
      found = number
    end
  end
  return found
end

local function go_on(order, handed)
  local lapsed = order.running and 1 or 0
  order.next = order.next + lapsed
  redis.call('ZREM', index, order.token)
  redis.call('HSET', order.key, 'r', '0')
  local number, missing = lowest(order), 0
  if number then
    if number ~= last then
      missing = tonumber(number) - order.next
      order.next = tonumber(number)
    end
    handed[#handed + 1] = number
    handed[#handed + 1] = redis.call('HGET', order.parked, number)
    look(order, order.again and patience or again_after)
    redis.call('HSET', order.key, 'a', '1')
  end
  redis.call('HSET', order.key, 'n', text(order.next))
  return lapsed, missing
end

local function sweep(limit)
  local handed, unfinished, missing = {0, 0}, 0, 0
  for _, token in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, limit)) do
    local order = load(token)
    if not order.known then
      redis.call('ZREM', index, token)
      redis.call('DEL', order.parked)
    elseif order.running and order.slight then
      release(order, handed)
      unfinished = unfinished + 1
    elseif order.running and order.ends then
      finish(order)
      unfinished = unfinished + 1
    else
      local lapsed, never = go_on(order, handed)
      unfinished, missing = unfinished + lapsed, missing + never
    end
  end
  handed[1], handed[2] = unfinished, missing
  return handed
end

local arguments = {unpack(ARGV, 10)}
if operation == 'enter' then
  return enter(unpack(arguments))
elseif operation == 'leave' then
  return leave(unpack(arguments))
elseif operation == 'renew' then
  return renew(arguments)
end
return sweep(arguments[1])
