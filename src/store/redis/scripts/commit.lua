-- All or nothing: every expectation first, then every write. Answers "conflict", "go" or a slot.
-- ARGV: id, now, tenant, how many checks, how many writes, upstream or "", interval or "", limit, "ahead" or "", member
-- with the slot; per check: member, version; per write: the FIELDS below.
local FIELDS = 13

local commit = ARGV[1]
local known = remembered(commit)
if known then return known end

local now, tenant = tonumber(ARGV[2]), ARGV[3]
local checks, writes, upstream = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local at = 11

for _ = 1, checks do
  local present = read(tenant, ARGV[at], now)
  if not present or present.v ~= ARGV[at + 1] then return remember(commit, 'conflict') end
  at = at + 2
end

local planned = {}
for i = 1, writes do
  local w = { member = ARGV[at], expected = ARGV[at + 1], next = ARGV[at + 2], op = ARGV[at + 3], body = ARGV[at + 4],
    status = ARGV[at + 5], created = ARGV[at + 6], expires = ARGV[at + 7], ttl = ARGV[at + 8] }
  local change, token, time = ARGV[at + 9], ARGV[at + 10], ARGV[at + 11]
  w.urgent = ARGV[at + 12] ~= ''
  at = at + FIELDS
  local present = read(tenant, w.member, now)
  if (present and present.v or '') ~= w.expected then return remember(commit, 'conflict') end
  local lease = present and present.lt
  w.present = present
  w.lt, w.lu, w.d, w.sl = lease, present and present.lu, present and present.d, present and present.sl
  if w.op == 'put' then
    if change == 'leave' then
      if not lease then w.d = time end
    elseif change == 'take' then
      if lease then return remember(commit, 'conflict') end
      w.lt, w.lu = token, time
    elseif lease ~= token then
      return remember(commit, 'conflict')
    elseif change == 'hold' then
      w.lu = time
    else
      w.lt, w.lu, w.d = nil, nil, time
    end
  end
  planned[i] = w
end

local verdict = 'go'
if upstream ~= '' then
  local beside
  for _, w in ipairs(planned) do
    if w.member == ARGV[10] and w.op == 'put' then beside = w end
  end
  local key = gate_key(tenant, upstream)
  local gate = gate_read(key)
  local slot
  verdict, slot = gate_reserve(gate, number(ARGV[7]), tonumber(ARGV[8]), number(beside and beside.sl), now,
    ARGV[9] ~= '')
  gate_write(key, gate, now)
  if beside then beside.sl = slot end
end

local moved = false
for _, w in ipairs(planned) do
  local kind, id = split(w.member)
  local key = aggregate_key(tenant, w.member)
  local indexed = kind ~= 'receipt'
  local stays = w.present and w.op == 'put' and w.present.c == w.created
  local same = stays and w.present.s == w.status
  if indexed and w.present and not same then unindex(tenant, kind, id, w.present, stays) end
  local due
  if w.op == 'put' then
    -- An expired receipt is not there for `read`, and yet may lie there.
    if not indexed and not w.present then redis.call('DEL', key) end
    write_fields(key, NAMES, w.present, { b = w.body, v = w.next, s = w.status, c = w.created, d = w.d, lt = w.lt,
      lu = w.lu, sl = w.sl, u = w.urgent and '1', x = not indexed and w.expires })
    if not indexed and w.ttl ~= '' then redis.call('PEXPIRE', key, w.ttl) end
    if indexed and not same then index(tenant, kind, id, w) end
    due = w.lu or w.d
  else
    redis.call('DEL', key)
  end
  -- A holder that goes on mostly keeps its lease as it is, and so its place in the indexes.
  local had, was_urgent = w.present and (w.present.lu or w.present.d), w.present and w.present.u
  if indexed and ((due or '') ~= (had or '') or (not w.urgent) ~= (not was_urgent)) then
    moved = true
    due_at(tenant, w.member, due, w.urgent, was_urgent)
  end
end
if moved then requeue(tenant, now, false) end
return remember(commit, verdict)
