-- The aggregates of a status that have no lease, in the order of creation: how far it looked ("" at the end), and index entries.
-- ARGV: tenant, kind, status, how far the round before looked or "", how many to look at.
local tenant, kind, status, after, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local key = tenant_label_key(tenant, kind, status)
local entries = redis.call('ZRANGEBYLEX', key, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, most)
local found = {}
for _, entry in ipairs(entries) do
  local member = kind .. ':' .. string.sub(entry, 22)
  if redis.call('HEXISTS', aggregate_key(tenant, member), 'lt') == 0 then found[#found + 1] = entry end
end
return { #entries == most and entries[most] or '', found }
