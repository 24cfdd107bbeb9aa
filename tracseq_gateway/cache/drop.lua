-- Drops records.
--
-- KEYS  the index and the sizes, see put.lua; then the records
-- Answers how many of them were answers; others only say by what answers vary.

local index, sizes, dropped = KEYS[1], KEYS[2], 0
for at = 3, #KEYS do
    local name = KEYS[at]
    local known = tonumber(redis.call('HGET', sizes, name))
    if redis.call('GETRANGE', name, 0, 6) == 'answer ' then
        dropped = dropped + 1
    end
    redis.call('UNLINK', name)
    redis.call('HDEL', sizes, name)
    redis.call('ZREM', index, name)
    if known then
        redis.call('HINCRBY', sizes, '', 0 - known)
    end
end
return dropped
