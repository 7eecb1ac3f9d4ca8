-- Reads the wrong tries that stand against a key, or counts one.
--
-- ARGV: 1 to count, the free tries, the first wait, the longest (microseconds), how long tries are kept (milliseconds)
-- answers: the wait before the next try (over 0: nothing was counted), the number of wrong tries

local count, free, first, longest, kept = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local stands = redis.call('HMGET', KEYS[1], 'wrong', 'until')
local wrong, next = tonumber(stands[1] or 0), tonumber(stands[2] or 0)
local wait = math.min(math.max(next - now, 0), longest)
if wait > 0 or not count then
	return {wait, wrong}
end
wrong = wrong + 1
if wrong >= free then
	next = now + math.min(longest, first * 2 ^ math.min(wrong - free, 10))
end
redis.call('HSET', KEYS[1], 'wrong', wrong, 'until', string.format('%.0f', next))
-- Ids of clients are the caller's to choose: what was tried once is not kept for long.
redis.call('PEXPIRE', KEYS[1], math.min(kept, wrong * 60000))
return {0, wrong}
