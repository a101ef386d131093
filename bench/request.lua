-- wrk's requests: the body in BODY, header lines in HEADERS, and in SESSIONS one session id a line, which
-- take turns. The last line of the output is what was measured, as JSON.
local requests, at = {}, 0

function init()
  local headers = {}
  for name, value in os.getenv("HEADERS"):gmatch("([^\n:]+): ([^\n]*)") do
    headers[name] = value
  end
  local body, path = os.getenv("BODY"), os.getenv("TARGET")
  for session in (os.getenv("SESSIONS") or ""):gmatch("[^\n]+") do
    headers["Mcp-Session-Id"] = session
    requests[#requests + 1] = wrk.format("POST", path, headers, body)
  end
  if #requests == 0 then
    requests[1] = wrk.format("POST", path, headers, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"us":%d,"refused":%d,"broken":%d,"p50":%d,"p99":%d,"max":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
