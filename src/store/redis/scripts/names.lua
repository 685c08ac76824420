-- Some of a namespace's keys. Answers how far it looked ("0" at the end), and the keys.
-- ARGV: how far the round before looked, which keys, how many to look at.
return redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
