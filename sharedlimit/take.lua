-- The generic cell rate algorithm (GCRA, ITU-T I.371), in whole microseconds:
-- fractions would round an event away. The key holds the time at which nothing
-- of the limit is used any more.
--
-- ARGV: the time that one event uses, the time that may be used
-- answers: the wait before the event would be allowed (0: it was counted), the time used

local each, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- A clock that was set back makes nobody wait for longer than the limit can.
local used = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or 0) - now, 0), most)
local over = used + each - most
if over > 0 then
	return {over, used}
end
used = used + each
redis.call('SET', KEYS[1], string.format('%.0f', now + used), 'PX', math.ceil(used / 1000))
return {0, used}
