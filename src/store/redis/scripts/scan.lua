-- Some of the aggregates and gates, each aggregate with the names of the indexes that do not say what it says.
-- Answers how far it looked ("0" at the end), aggregates, gates, and keys of another type. ARGV: how far the round before
-- looked, which keys, how many to look at.
local labels = {}
local function has_label(label)
  if not labels[p] then
    labels[p] = {}
    for _, known in ipairs(redis.call('SMEMBERS', labels_key)) do labels[p][known] = true end
  end
  return labels[p][label]
end

local function stands(key, member, score)
  local found = redis.pcall('ZSCORE', key, member)
  if type(found) == 'table' then return false end
  if not score then return not found end
  return found and tonumber(found) == tonumber(score)
end

local function wrong_indexes(tenant, member, h)
  local kind, id = split(member)
  local wrong = {}
  local function expect(holds, name) if not holds then wrong[#wrong + 1] = name end end
  if kind == 'receipt' or not h[3] or not h[4] then return wrong end
  expect(has_label(kind .. ':' .. h[3]), 'labels')
  expect(stands(label_key(kind, h[3]), h[4] .. '|' .. tenant .. '|' .. id, 0), 'status')
  expect(stands(tenant_label_key(tenant, kind, h[3]), h[4] .. '|' .. id, 0), 'status within the tenant')
  local due = h[7] or h[5]
  expect(stands(tenant_due_key(tenant), member, due), 'due times')
  if due then
    if h[10] then expect(stands(tenant_urgent_key(tenant), member, due), 'what is urgent') end
    expect(not stands(due_key, tenant, nil) and not stands(turn_key, tenant, nil), 'tenants that wait')
  end
  return wrong
end

local looked = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local aggregates, gates, others = {}, {}, {}
for _, key in ipairs(looked[2]) do
  local partition, what, tenant, rest = string.match(key, '^(.-}:)(%a):([^:]*):(.*)$')
  if partition then
    go_to(partition)
    if type(redis.pcall('HGET', key, 'v')) == 'table' then
      others[#others + 1] = key
    elseif what == 'a' then
      local h = document(tenant, rest)
      aggregates[#aggregates + 1] = { tenant, rest, h, wrong_indexes(tenant, rest, h) }
    else
      gates[#gates + 1] = { tenant, rest, redis.call('HMGET', key, unpack(GATE_NAMES)) }
    end
  end
end
return { looked[1], aggregates, gates, others }
