-- The tenants with something due, by turn: name, turn, how many urgent, how many others. Changes nothing.
-- ARGV: now, at most how many tenants, the tenants to skip.
local now, max = ARGV[1], tonumber(ARGV[2])
local skip = {}
for i = 3, #ARGV do skip[ARGV[i]] = true end
local queue = redis.call('ZRANGEBYSCORE', turn_key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, max + #ARGV - 2)
local found = {}
for i = 1, #queue, 2 do
  local tenant = queue[i]
  if #found < max and not skip[tenant] then
    local due = redis.call('ZCOUNT', tenant_due_key(tenant), '-inf', now)
    local urgent = redis.call('ZCOUNT', tenant_urgent_key(tenant), '-inf', now)
    found[#found + 1] = { tenant, text(tonumber(queue[i + 1])), urgent, math.max(due - urgent, 0) }
  end
end
return found
