-- Removes some of a namespace's keys. Answers how far it looked ("0" at the end).
-- ARGV: how far the round before looked, which keys, how many to look at.
local looked = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
for _, key in ipairs(looked[2]) do redis.call('DEL', key) end
return looked[1]
