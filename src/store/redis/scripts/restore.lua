-- Writes aggregates and gates of one partition as they were elsewhere, with their indexes; what is there already of them is
-- written over. ARGV: now, how many aggregates, how many gates, the copy's mark; per aggregate: tenant, member, a life in
-- milliseconds or "", NAMES; per gate: tenant, upstream, GATE_NAMES. Answers "stale" to a copy that hung while another one took
-- its place: that one may have filled the partition, and a service may be at work on it.
if redis.call('GET', p .. 'copy') ~= ARGV[4] then return 'stale' end
local now, at = tonumber(ARGV[1]), 5
for _ = 1, tonumber(ARGV[2]) do
  local tenant, member, ttl = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local has = {}
  for i, name in ipairs(NAMES) do has[name] = ARGV[at + 2 + i] end
  at = at + 3 + #NAMES
  local kind, id = split(member)
  local key = aggregate_key(tenant, member)
  redis.call('DEL', key)
  write_fields(key, NAMES, nil, has)
  if ttl ~= '' then redis.call('PEXPIRE', key, ttl) end
  if kind ~= 'receipt' then
    index(tenant, kind, id, { created = has.c, status = has.s })
    due_at(tenant, member, has.lu ~= '' and has.lu or has.d, has.u ~= '', true)
    requeue(tenant, now, false)
  end
end
for _ = 1, tonumber(ARGV[3]) do
  local key = gate_key(ARGV[at], ARGV[at + 1])
  local has = {}
  for i, name in ipairs(GATE_NAMES) do has[name] = ARGV[at + 1 + i] end
  at = at + 2 + #GATE_NAMES
  redis.call('DEL', key)
  -- Also what is 0: a gate at rest would else have no hash, and the copy would lack it when it is compared.
  write_fields(key, GATE_NAMES, nil, has)
  -- For its expiry, as a gate without departures: else that would be taken for put off within this hour.
  local gate = gate_read(key)
  gate.had[LEFT] = nil
  gate_write(key, gate, now)
end
return 'ok'
