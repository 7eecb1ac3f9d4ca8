-- The action lua.gatehouse: asks Gatehouse whether the request may pass, by the
-- question in txn.require, and leaves the answer in txn.gatehouse.*: status,
-- challenge, request_id, and the identity headers. A status other than 200, 401
-- and 403, no answer within the time, and an answer that lacks an identity
-- header all come out as 503.

local server = os.getenv("GATEHOUSE")
local milliseconds = 3000

local identity = {
	client_id = "gatehouse-client-id",
	environment = "gatehouse-environment",
	token_id = "gatehouse-token-id",
	scope = "gatehouse-scope",
	subject = "gatehouse-subject",
	expires_at = "gatehouse-expires-at",
}

-- first returns the only value of a header of an answer, nil for none or several.
local function first(headers, name)
	local values = headers and headers[name]
	if values and values[0] and not values[1] then
		return values[0]
	end
	return nil
end

core.register_action("gatehouse", { "http-req" }, function(txn)
	txn:set_var("txn.gatehouse.status", "503")
	local sent = txn.http:req_get_headers()
	local asked = {
		["x-original-uri"] = { txn.sf:url() },
		["x-original-method"] = { txn.sf:method() },
		["x-forwarded-for"] = { txn.sf:src() },
		["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" },
	}
	-- All of them go: two Authorization headers are Gatehouse's to refuse.
	if sent["authorization"] then
		local all = {}
		for i = 0, #sent["authorization"] do
			all[#all + 1] = sent["authorization"][i]
		end
		asked["authorization"] = all
	end
	local answer = core.httpclient():get({
		url = "http://" .. server .. "/gate/verify?" .. txn:get_var("txn.require"),
		headers = asked,
		timeout = milliseconds,
	})
	if not answer or not answer.status then
		return
	end
	txn:set_var("txn.gatehouse.request_id", first(answer.headers, "gatehouse-request-id") or "-")
	if answer.status == 401 then
		txn:set_var("txn.gatehouse.challenge", first(answer.headers, "www-authenticate") or "Bearer")
	elseif answer.status == 200 then
		for var, name in pairs(identity) do
			local value = first(answer.headers, name)
			if not value then
				return
			end
			txn:set_var("txn.gatehouse." .. var, value)
		end
	elseif answer.status ~= 403 then
		return
	end
	txn:set_var("txn.gatehouse.status", tostring(answer.status))
end, 0)
