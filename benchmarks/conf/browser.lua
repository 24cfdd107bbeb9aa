-- What wrk sends: a browser's ten header fields (Host and those of the file), to one route or to many in turn.
--
--   wrk ... -s browser.lua URL -- HEADERS_FILE ROUTES same|varied
--   wrk ... -s browser.lua URL -- HEADERS_FILE 1 users|sessions TOKENS_FILE
--
-- users: each of wrk's threads, and so each of its connections, has a token of its own. sessions: each request has the
-- next token.
--
-- The last line of the output is the summary as JSON, read by benchmarks/wrk.py.

local threads = 0

function setup(thread)
   thread:set("number", threads)
   threads = threads + 1
end

function init(args)
   for line in io.lines(args[1]) do
      local name, value = line:match("^([^:]+): (.*)$")
      wrk.headers[name] = value
   end

   local routes = tonumber(args[2])
   if args[3] == "varied" then return vary() end
   if args[3] == "users" then return one_user(args[4]) end
   if args[3] == "sessions" then return sessions(args[4]) end
   if routes == 1 then return end   -- wrk formats the one request once

   local requests = {}
   for number = 0, routes - 1 do
      requests[number] = wrk.format("GET", "/route" .. number .. "/benchmark")
   end
   local turn = -1
   request = function()
      turn = (turn + 1) % routes
      return requests[turn]
   end
end

-- As different from each other as requests of many clients behind one proxy: path, query, Referer and a trace id.
function vary()
   local requests = {}
   for number = 0, 511 do
      wrk.headers["Referer"] = "http://localhost:3000/samples/" .. number
      wrk.headers["Traceparent"] = string.format("00-%032x-%016x-01", number * 7919 + 1, number + 1)
      requests[number] = wrk.format("GET", "/route0/benchmark/" .. number .. "?page=" .. number)
   end
   local turn = -1
   request = function()
      turn = (turn + 1) % 512
      return requests[turn]
   end
end

-- The token of this thread; wrk formats the one request once.
function one_user(file)
   local line = 0
   for token in io.lines(file) do
      if line == number then wrk.headers["Authorization"] = "Bearer " .. token end
      line = line + 1
   end
   assert(number < line, "fewer tokens than threads")
end

function sessions(file)
   local requests = {}
   for token in io.lines(file) do
      wrk.headers["Authorization"] = "Bearer " .. token
      requests[#requests + 1] = wrk.format("GET")
   end
   local turn = 0
   request = function()
      turn = turn % #requests + 1
      return requests[turn]
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
      summary.requests, summary.duration / 1e6,
      errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
