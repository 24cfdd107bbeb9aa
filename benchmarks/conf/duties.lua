-- The duties of nginx_lua.conf: token verdict, rate limit in Redis, metrics. One instance in each worker, compiled once.
--
-- Debian has no JWT library for nginx, so the verdicts are in the cache from the start, as if each token had been
-- verified before: what is compared is the look-up, not the verification. The cache is the fastest that there is, a
-- table of the worker's own, and it is asked by the whole Authorization field, without a hash.
local lrucache = require "resty.lrucache"
local redis = require "nginx.redis"

local ngx, ipairs, tonumber = ngx, ipairs, tonumber
local ceil, format = math.ceil, string.format
local metrics = ngx.shared.metrics

local BUCKETS = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, math.huge}
local REDIS_MILLISECONDS, REDIS_IDLE_MILLISECONDS, REDIS_CONNECTIONS = 1000, 60000, 1024

local _M = {}
local verdicts, socket, script, script_sha1

-- Call once, in init_by_lua. `limits`: by service, {per_minute = ..., burst = ...}.
function _M.prepare(settings)
   local file = assert(io.open(settings.script))
   script = file:read("*a")
   file:close()
   script_sha1 = ngx.sha1_bin(script):gsub(".", function(byte) return format("%02x", byte:byte()) end)
   socket = "unix:" .. settings.redis
   verdicts = assert(lrucache.new(10000))
   for field, identity in pairs(dofile(settings.verdicts)) do
      verdicts:set(field, identity, identity.expires - ngx.time())
   end
   _M.limits = {}
   for service, limit in pairs(settings.limits) do
      _M.limits[service] = {
         interval = 60000000 / limit.per_minute,
         burst = limit.burst,
         prefix = "bench:" .. service .. ":",
         policy = format('"%s";q=%d;w=60', service, limit.per_minute),
      }
   end
end

local function refuse(status, title)
   local body = format('{"type":"about:blank","title":"%s","status":%d}', title, status)
   ngx.status = status
   ngx.header["Content-Type"] = "application/problem+json"
   ngx.header["Content-Length"] = #body
   ngx.print(body)
   return ngx.exit(status)
end

-- Ask Redis: its answer (see gcra.lua), or nil and what is wrong.
local function asked(key, limit)
   local link = redis:new()
   link:set_timeout(REDIS_MILLISECONDS)
   local connected, problem = link:connect(socket)
   if not connected then return nil, problem end
   local answer
   answer, problem = link:evalsha(script_sha1, 1, key, limit.interval, limit.burst)
   if answer == false and problem:find("NOSCRIPT", 1, true) then
      answer, problem = link:eval(script, 1, key, limit.interval, limit.burst)
   end
   if not answer then
      link:close()
      return nil, problem
   end
   link:set_keepalive(REDIS_IDLE_MILLISECONDS, REDIS_CONNECTIONS)
   return answer
end

-- Access phase: whose token it is, and whether that one may call the service now.
function _M.admit(service)
   local var, header = ngx.var, ngx.header
   local identity = verdicts:get(var.http_authorization or "")
   if not identity then
      header["WWW-Authenticate"] = 'Bearer realm="tracseq"'
      return refuse(401, "Unauthorized")
   end
   var.user_id, var.user_email = identity.id, identity.email
   var.user_role, var.session_id = identity.role, identity.session

   local limit = _M.limits[service]
   local answer, problem = asked(limit.prefix .. identity.id, limit)
   if not answer then
      ngx.log(ngx.ERR, "no answer from Redis: ", problem)
      return refuse(503, "Service Unavailable")
   end
   local reset = ceil(answer[4] / 1e6)
   header["RateLimit-Policy"] = limit.policy
   header["RateLimit"] = format('"%s";r=%d;t=%d', service, answer[2], reset)
   header["X-RateLimit-Limit"] = limit.burst
   header["X-RateLimit-Remaining"] = answer[2]
   header["X-RateLimit-Reset"] = ngx.time() + reset
   if answer[1] == 0 then
      header["Retry-After"] = ceil(answer[3] / 1e6)
      return refuse(429, "Too Many Requests")
   end
end

-- Log phase: one more request, and how long it took.
function _M.count(service)
   local var = ngx.var
   metrics:incr("requests|" .. var.request_method .. "|" .. service .. "|" .. ngx.status, 1, 0)
   local seconds = tonumber(var.request_time)
   metrics:incr("sum|" .. service, seconds, 0)
   for _, bound in ipairs(BUCKETS) do
      if seconds <= bound then
         metrics:incr("bucket|" .. service .. "|" .. bound, 1, 0)
         return
      end
   end
end

-- The lines of one service's histogram.
local function say_histogram(service, sum)
   local name, labels, count = "gateway_request_duration_seconds", 'service="' .. service .. '"', 0
   for _, bound in ipairs(BUCKETS) do
      count = count + (metrics:get("bucket|" .. service .. "|" .. bound) or 0)
      ngx.say(format('%s_bucket{%s,le="%s"} %d', name, labels, bound == math.huge and "+Inf" or bound, count))
   end
   ngx.say(format("%s_sum{%s} %g", name, labels, sum))
   ngx.say(format("%s_count{%s} %d", name, labels, count))
end

-- Content phase: what was counted, in the text format of Prometheus.
function _M.show()
   for _, key in ipairs(metrics:get_keys(0)) do
      local value = metrics:get(key)
      local method, service, status = key:match("^requests|(.*)|(.*)|(.*)$")
      if method then
         local labels = format('method="%s",service="%s",status="%s"', method, service, status)
         ngx.say(format("gateway_requests_total{%s} %d", labels, value))
      end
      service = key:match("^sum|(.*)$")
      if service then say_histogram(service, value) end
   end
end

return _M
