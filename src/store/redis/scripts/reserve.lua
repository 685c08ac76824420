-- ARGV: now, tenant, upstream, interval or "", limit, "ahead" or "", member with the slot or "", id.
local known = remembered(ARGV[8])
if known then return known end

local now, tenant, member = tonumber(ARGV[1]), ARGV[2], ARGV[7]
local present = member ~= '' and read(tenant, member, now) or nil
local key = gate_key(tenant, ARGV[3])
local gate = gate_read(key)
local verdict, slot = gate_reserve(gate, number(ARGV[4]), tonumber(ARGV[5]), number(present and present.sl), now,
  ARGV[6] ~= '')
gate_write(key, gate, now)
if present and slot then
  redis.call('HSET', aggregate_key(tenant, member), 'sl', slot)
elseif present then
  redis.call('HDEL', aggregate_key(tenant, member), 'sl')
end
return remember(ARGV[8], verdict)
