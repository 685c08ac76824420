-- Makes unleased aggregates due, spread evenly. ARGV: now, tenant, kind, spread, the statuses. Answers how many.
local now, tenant, kind, spread = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local seen, entries = {}, {}
for i = 5, #ARGV do
  if not seen[ARGV[i]] then
    seen[ARGV[i]] = true
    for _, entry in ipairs(redis.call('ZRANGE', tenant_label_key(tenant, kind, ARGV[i]), 0, -1)) do
      local id = string.sub(entry, 22)
      if redis.call('HEXISTS', aggregate_key(tenant, kind .. ':' .. id), 'lt') == 0 then
        entries[#entries + 1] = entry
      end
    end
  end
end
table.sort(entries)
for nth, entry in ipairs(entries) do
  local member = kind .. ':' .. string.sub(entry, 22)
  local due = text(now + math.floor(spread * (nth - 1) / #entries))
  redis.call('HSET', aggregate_key(tenant, member), 'd', due)
  redis.call('ZADD', tenant_due_key(tenant), due, member)
end
requeue(tenant, now, false)
return #entries
