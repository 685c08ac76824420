-- A tenant's leads of these statuses, newest first. ARGV: tenant, cursor as "<created>|<id>" or "", how many, the statuses.
local tenant, last, most = ARGV[1], ARGV[2] == '' and '+' or '(' .. ARGV[2], tonumber(ARGV[3])
local entries = {}
for i = 4, #ARGV do
  local key = tenant_label_key(tenant, 'lead', ARGV[i])
  for _, entry in ipairs(redis.call('ZREVRANGEBYLEX', key, last, '-', 'LIMIT', 0, most)) do
    entries[#entries + 1] = entry
  end
end
table.sort(entries, function(a, b) return a > b end)
local found = {}
for i = 1, math.min(#entries, most) do
  local id = string.sub(entries[i], 22)
  found[i] = { id, document(tenant, 'lead:' .. id) }
end
return found
