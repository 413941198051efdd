-- /etc/apache2/sluice.lua: what Apache does before it passes a request on.
local socket = require "socket"

local SLUICE = "127.0.0.1:8088"
local CONNECT_S, ANSWER_S = 0.05, 0.3
-- With true, the request passes if Sluice is dead, slow or broken; with false it gets 503.
local FAIL_OPEN = true

local FAILED = '{"type":"about:blank","title":"Service Unavailable","status":503}'
local HOST, PORT = SLUICE:match("^(.*):(%d+)$")

-- Returns the whole answer, or nil if it does not come in time.
local function ask(fields)
  local lines = { "GET /v1/authz?deny=429 HTTP/1.0" }
  for name, value in pairs(fields) do
    -- No value can begin a new line.
    lines[#lines + 1] = name .. ": " .. value:gsub("%c", "")
  end
  local connection = socket.tcp()
  connection:settimeout(CONNECT_S)
  local answer
  if connection:connect(HOST, PORT) then
    connection:settimeout(ANSWER_S)
    connection:settimeout(ANSWER_S, "t") -- for all of the answer, however it drips
    if connection:send(table.concat(lines, "\r\n") .. "\r\n\r\n") then answer = connection:receive("*a") end
  end
  connection:close()
  return answer
end

local function send(r, status, body)
  r.status = status
  r.content_type = "application/problem+json"
  r.err_headers_out["Cache-Control"] = "no-store"
  r:puts(body)
  return apache2.DONE
end

function sluice(r)
  if not r.is_initial_req then return apache2.DECLINED end
  -- Sluice gets only these fields, and no others of the client. For users who are logged in, add X-Sluice-Key;
  -- for tokens: ["Authorization"] = "Bearer ...".
  local answer = ask({
    ["X-Forwarded-For"] = r.useragent_ip,
    ["X-Forwarded-Host"] = r.hostname or "",
    ["X-Forwarded-Method"] = r.method,
    ["X-Forwarded-Uri"] = r.unparsed_uri,
  })
  local status, head, body = (answer or ""):match("^HTTP/1%.%d (%d%d%d)(.-\r\n)\r\n(.*)$")
  status = tonumber(status)
  if status == 200 or status == 429 then
    for name, value in head:gmatch("\n([%w-]+): ([^\r]*)") do
      local known = name:lower()
      if known == "ratelimit" or known == "ratelimit-policy" then r.err_headers_out[name] = value end
      if known == "retry-after" and status == 429 then r.err_headers_out[name] = value end
    end
    if status == 429 then return send(r, 429, body) end
    return apache2.DECLINED
  end
  local is_broken = status == nil or status >= 500
  if is_broken and FAIL_OPEN then return apache2.DECLINED end
  return send(r, 503, FAILED)
end
