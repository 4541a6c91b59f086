-- What is kept of a room.
-- KEYS: the room's state, its stream.  ARGV: 1 the first entry, or - for the newest ones, which come newest first  2 maximum
-- Returns the epoch, the last sequence and the entries, or nothing if the room has no state.

local state = redis.call('HMGET', KEYS[1], 'e', 's')
if not state[1] then return {} end
if ARGV[1] == '-' then
    return { state[1], state[2], redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[2]) }
end
return { state[1], state[2], redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2]) }
