-- GCRA in one atomic step by the clock of Redis: one number a key, the theoretical arrival time in microseconds.
-- ARGV: microseconds between requests at the sustained rate; requests that may come at once.
-- Returns whether it is admitted, how many more would be now, and the microseconds until it may be asked again and until
-- the whole burst is there again.
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]
local due = math.max(now, tonumber(redis.call("GET", KEYS[1])) or 0)
local early = due + interval - burst * interval - now
if early > 0 then
   return {0, 0, early, due - now}
end
due = due + interval
redis.call("SET", KEYS[1], string.format("%.0f", due), "PX", math.ceil((due - now) / 1000))
return {1, math.floor(burst - (due - now) / interval), 0, due - now}
