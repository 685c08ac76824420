-- The tenants with something due, by turn: name, turn, how many (up to a bound). Changes nothing.
-- ARGV: now, at most how many tenants, at most how many of each, the tenants to skip.
local now, max, per_tenant = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local skip = {}
for i = 4, #ARGV do skip[ARGV[i]] = true end
local queue = redis.call('ZRANGEBYSCORE', turn_key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, max + #ARGV - 3)
local found = {}
for i = 1, #queue, 2 do
  local tenant = queue[i]
  if #found < max and not skip[tenant] then
    local due = redis.call('ZCOUNT', tenant_due_key(tenant), '-inf', now)
    found[#found + 1] = { tenant, text(tonumber(queue[i + 1])), math.min(due, per_tenant) }
  end
end
return found
