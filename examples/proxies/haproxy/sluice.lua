-- /etc/haproxy/sluice.lua: what haproxy.cfg does before it passes a request on.
local FIELDS = { ["ratelimit"] = "txn.sluice_limit", ["ratelimit-policy"] = "txn.sluice_policy", ["retry-after"] = "txn.sluice_retry" }

local function outcome_of(status)
  if status == 200 then return "allowed" end
  if status == 429 then return "denied" end
  if status == nil or status < 400 or status >= 500 then return "broken" end
  return "refused"
end

core.register_action("sluice", { "http-req" }, function(txn)
  -- Sluice gets only these fields, and no others of the client. For users who are logged in, add x-sluice-key;
  -- for tokens: ["authorization"] = { "Bearer ..." }.
  local answer = core.httpclient():get{
    url = "http://sluice/v1/authz?deny=429",
    dst = "abns@sluice",
    headers = {
      ["x-forwarded-for"] = { txn.sf:src() },
      ["x-forwarded-host"] = { (txn.sf:req_hdr("host"):gsub(":%d+$", "")) },
      ["x-forwarded-method"] = { txn.sf:method() },
      ["x-forwarded-uri"] = { txn.sf:url() },
    },
  }
  local outcome = outcome_of(answer and answer.status)
  txn:set_var("txn.sluice", outcome)
  if outcome == "denied" then txn:set_var("txn.sluice_body", answer.body) end
  if outcome == "denied" or outcome == "allowed" then
    for name, variable in pairs(FIELDS) do
      if answer.headers[name] then txn:set_var(variable, answer.headers[name][0]) end
    end
  end
end, 0)
