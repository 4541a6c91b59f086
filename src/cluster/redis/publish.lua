-- Stores a payload in a room, and publishes it. A batch that is stored already is only published again: that may have failed.
-- KEYS: the room's state, its stream, the last batch of this node in this room.
-- ARGV: 1 number of the batch, with 20 digits  2 payload  3 channel  4 id of this server's process  5 epoch of a new room
--       6 entries to keep  7 bytes a step (16 of them are kept)  8 seconds to keep an idle room's entries
--       9 seconds to keep its state  10 seconds to know the node's last batch
-- Returns the epoch and the sequence.

local last = redis.call('GET', KEYS[3])
if last and string.sub(last, 1, 20) >= ARGV[1] then
    local epoch, sequence, previous = string.match(last, '^%d+ (%d+) (%d+) (%d+)$')
    if string.sub(last, 1, 20) == ARGV[1] then
        redis.call('PUBLISH', ARGV[3], epoch .. ' ' .. sequence .. ' ' .. previous .. '\n' .. ARGV[2])
    end
    return { epoch, sequence }
end

local state = redis.call('HMGET', KEYS[1], 'e', 's', 'r', 'b')
local epoch, previous, run, bytes = state[1], state[2], state[3], tonumber(state[4] or '0')
if not epoch then
    redis.call('DEL', KEYS[2])
    epoch, previous, run = ARGV[5], '0', ARGV[4]
end

-- Another process may come from an older snapshot of the data: what follows takes no number that was used before.
local step = 1
if run ~= ARGV[4] then step = 4294967296 end
local number = tonumber(previous) + step
local sequence = string.format('%.0f', number)

-- Marks of where each step of bytes began, in a ring, tell how many entries fit into the limit of bytes.
local entries = tonumber(ARGV[6])
local before = math.floor(bytes / ARGV[7])
bytes = bytes + #ARGV[2] + 64
local after = math.floor(bytes / ARGV[7])
local fields = { 'e', epoch, 's', sequence, 'r', ARGV[4], 'b', string.format('%.0f', bytes) }
if after > before then
    local oldest = redis.call('HGET', KEYS[1], tostring((after + 1) % 16))
    if oldest then entries = math.min(entries, number - tonumber(oldest)) end
    for mark = math.max(before + 1, after - 15), after do
        fields[#fields + 1] = tostring(mark % 16)
        fields[#fields + 1] = sequence
    end
end

redis.call('HSET', KEYS[1], unpack(fields))
redis.call('EXPIRE', KEYS[1], ARGV[9])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', string.format('%.0f', math.max(entries, 1)), sequence .. '-0',
    'p', previous, 'd', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[8])
redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. epoch .. ' ' .. sequence .. ' ' .. previous, 'EX', ARGV[10])
redis.call('PUBLISH', ARGV[3], epoch .. ' ' .. sequence .. ' ' .. previous .. '\n' .. ARGV[2])
return { epoch, sequence }
