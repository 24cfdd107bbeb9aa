-- What wrk sends: a browser's ten header fields (Host and those of the file), to one route or to many in turn.
--
--   wrk ... -s browser.lua URL -- HEADERS_FILE ROUTES
--
-- The last line of the output is the summary as JSON, read by benchmarks/wrk.py.

function init(args)
   for line in io.lines(args[1]) do
      local name, value = line:match("^([^:]+): (.*)$")
      wrk.headers[name] = value
   end

   local routes = tonumber(args[2])
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

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
      summary.requests, summary.duration / 1e6,
      errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
