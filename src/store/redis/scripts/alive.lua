-- A replica's sign of life. ARGV: the replica, for how many seconds the sign counts (0: it leaves).
local key, now = p .. 'alive', tonumber(redis.call('TIME')[1])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now)) do redis.call('ZREM', key, gone) end
redis.call('ZREM', key, ARGV[1])
if ARGV[2] ~= '0' then
  redis.call('ZADD', key, now + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', key, 3600000)
end
return 'ok'
