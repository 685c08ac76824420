-- The tenants with something due, by turn within each partition: name, turn, how much is urgent, how much is not; and 1, or
-- 0 where there are so many tenants that not all were looked at.
-- ARGV: now, enough tenants with something urgent, enough tenants with something that is not.
local now = ARGV[1]
-- So many tenants may stand before those that are looked for.
local LOOKED_AT = 1000
local found, all = {}, 1
for _, partition in ipairs(partitions()) do
  go_to(partition)
  local urgent_left, others_left = tonumber(ARGV[2]), tonumber(ARGV[3])
  local queue = redis.call('ZRANGEBYSCORE', turn_key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, LOOKED_AT)
  if #queue >= 2 * LOOKED_AT then all = 0 end
  for i = 1, #queue, 2 do
    if urgent_left <= 0 and others_left <= 0 then break end
    local tenant = queue[i]
    local urgent = redis.call('ZCOUNT', tenant_urgent_key(tenant), '-inf', now)
    local others = others_left > 0
      and math.max(redis.call('ZCOUNT', tenant_due_key(tenant), '-inf', now) - urgent, 0) or 0
    if (urgent > 0 and urgent_left > 0) or (others > 0 and others_left > 0) then
      found[#found + 1] = { tenant, text(tonumber(queue[i + 1])), urgent, others }
      if urgent > 0 then urgent_left = urgent_left - 1 end
      if others > 0 then others_left = others_left - 1 end
    end
  end
end
return { found, all }
