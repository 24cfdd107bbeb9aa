-- Decides about any number of requests, in order, each against all of its limits: all of them admit it and are charged,
-- or none is. The arithmetic is that of gcra.py, in microseconds of this server's clock.
--
-- KEYS  one for each limit of each request
-- ARGV  for each request: how many limits it has, then for each of them: T, T * B, how far ahead of the time the
--       theoretical arrival time can be at most (further, and this server's clock was set back), units
-- Answers, for each request: how long it must wait (0: it was admitted; -1: one of its keys is none of ours), then for
-- each of its limits how far the theoretical arrival time now is ahead of the time.

local EPOCH = 1735689600 -- 2025 began; counted from here a double keeps fractions of a microsecond for a century

local ROUNDING = 1 -- numbers are stored with three decimals: the last of a burst must not fail for their sake

local clock = redis.call('TIME')
local now = (clock[1] - EPOCH) * 1000000 + clock[2]
local answer, used, key, at = {}, 0, 0, 1

while at <= #ARGV do
    local limits = tonumber(ARGV[at])
    local longest, ahead = 0, {}
    for i = 1, limits do
        local base = at + 4 * i
        local interval, tolerance, most, units =
            tonumber(ARGV[base - 3]), tonumber(ARGV[base - 2]), tonumber(ARGV[base - 1]), tonumber(ARGV[base])
        local kept = redis.pcall('GET', KEYS[key + i])
        if type(kept) == 'table' then -- an error: somebody has put another type there
            longest, kept = math.huge, false
        end
        ahead[i] = math.min(math.max((kept and tonumber(kept) or now) - now, 0), most)
        if units > 0 then
            longest = math.max(longest, ahead[i] + math.min(interval * units, tolerance) - tolerance)
        end
    end
    if longest <= ROUNDING then
        longest = 0
    end
    used = used + 1
    answer[used] = longest == math.huge and -1 or math.ceil(longest)
    for i = 1, limits do
        local charged = tonumber(ARGV[at + 4 * i - 3]) * tonumber(ARGV[at + 4 * i])
        if longest == 0 and charged ~= 0 then
            ahead[i] = ahead[i] + charged
            if ahead[i] > 0 then
                redis.call('SET', KEYS[key + i], string.format('%.3f', now + ahead[i]), 'PX',
                    math.ceil(ahead[i] / 1000))
            else
                redis.call('DEL', KEYS[key + i])
                ahead[i] = 0
            end
        end
        used = used + 1
        answer[used] = math.ceil(ahead[i])
    end
    key = key + limits
    at = at + 1 + 4 * limits
end
return answer
