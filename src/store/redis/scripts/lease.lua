-- Leases what is due: per tenant that many, longest due first. Answers tenant, member, whether a lease ran out, fields.
-- ARGV: now, until; per tenant: name, how many, a token for each.
local now, until_ = ARGV[1], ARGV[2]
local leased = {}
local at = 3
while at <= #ARGV do
  local tenant, count = ARGV[at], tonumber(ARGV[at + 1])
  local members = redis.call('ZRANGEBYSCORE', tenant_due_key(tenant), '-inf', now, 'LIMIT', 0, count)
  for i, member in ipairs(members) do
    local h = document(tenant, member)
    if h[2] then
      local ran_out = h[6] and 1 or 0
      h[6], h[7] = ARGV[at + 1 + i], until_
      redis.call('HSET', aggregate_key(tenant, member), 'lt', h[6], 'lu', h[7])
      redis.call('ZADD', tenant_due_key(tenant), until_, member)
      leased[#leased + 1] = { tenant, member, ran_out, h }
    else
      redis.call('ZREM', tenant_due_key(tenant), member)
    end
  end
  requeue(tenant, tonumber(now), true)
  at = at + 2 + count
end
return leased
