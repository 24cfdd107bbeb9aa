-- Keeps one record, and has others go that end soonest where there is no room for all. Every record is in an index by
-- when it ends, and its size in a table, so that no more is kept than may be, whoever else uses this server.
--
-- KEYS  the index; the sizes, with the sum of all under the empty name; the record
-- ARGV  the record; for how many milliseconds; most bytes; most records
-- Answers how many bytes are kept, and how many records.

local index, sizes, key = KEYS[1], KEYS[2], KEYS[3]
local size, most, entries = #ARGV[1] + #key, tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function forget(name)
    local known = tonumber(redis.call('HGET', sizes, name)) or 0
    redis.call('HDEL', sizes, name)
    redis.call('ZREM', index, name)
    return redis.call('HINCRBY', sizes, '', 0 - known) -- not -known: of 0 that is "-0"
end

local total = forget(key)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 1000)) do
    total = forget(name)
end
while total + size > most or redis.call('ZCARD', index) >= entries do
    local name = redis.call('ZRANGE', index, 0, 0)[1]
    if not name then
        break
    end
    redis.call('UNLINK', name)
    total = forget(name)
end
redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', index, now + ARGV[2], key)
redis.call('HSET', sizes, key, size)
return {redis.call('HINCRBY', sizes, '', size), redis.call('ZCARD', index)}
