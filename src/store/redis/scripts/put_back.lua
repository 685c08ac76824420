-- Gives back what was leased, as it was but for the due time; only if the lease still has that token. Answers whether.
-- ARGV: now, tenant, member, token, due, whether the lease before it had run out ("1" or "0").
local now, tenant, member, due = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[5]
local key = aggregate_key(tenant, member)
if redis.call('HGET', key, 'lt') ~= ARGV[4] then return 0 end
if ARGV[6] == '1' then
  redis.call('HSET', key, 'lu', due)
else
  redis.call('HDEL', key, 'lt', 'lu')
  redis.call('HSET', key, 'd', due)
end
due_at(tenant, member, due, redis.call('HGET', key, 'u'), false)
requeue(tenant, now, false)
return 1
