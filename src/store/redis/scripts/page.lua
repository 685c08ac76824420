-- A tenant's leads, newest first. ARGV: tenant, status or "", cursor as "<created>|<id>" or "", how many.
local tenant, status, cursor = ARGV[1], ARGV[2], ARGV[3]
local key = status == '' and tenant_leads_key(tenant) or tenant_label_key(tenant, 'lead', status)
local entries = redis.call('ZREVRANGEBYLEX', key, cursor == '' and '+' or '(' .. cursor, '-', 'LIMIT', 0, ARGV[4])
local found = {}
for i, entry in ipairs(entries) do
  local id = string.sub(entry, 22)
  found[i] = { id, document(tenant, 'lead:' .. id) }
end
return found
