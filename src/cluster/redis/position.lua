-- The place of the last publication in a room.
-- KEYS: the room's state, its stream.  ARGV: 1 id of this server's process  2 epoch of a new room  3 seconds to keep its state
-- Returns the epoch and the sequence.

local state = redis.call('HMGET', KEYS[1], 'e', 's')
if not state[1] then
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[1], 'e', ARGV[2], 's', '0', 'r', ARGV[1])
    state = { ARGV[2], '0' }
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return state
