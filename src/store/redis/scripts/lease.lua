-- Leases what is due: per tenant so many urgent ones and so many others, longest due first. Answers tenant, member,
-- whether a lease ran out, fields; and per tenant of which something was leased its name, and what load.lua answers. A tenant
-- of which that cannot be read is left out: an error would end the script, and what it has leased would wait until it runs out.
-- ARGV: now, until, how many aggregates of each tenant to answer besides, their members, how many gates, their upstreams;
-- per tenant: which of KEYS is its partition, name, how many urgent, how many others, a token for each.
local now, until_ = ARGV[1], ARGV[2]
-- So many urgent ones may stand before the others in the order of due times.
local PASSED = 1000
local leased, beside = {}, {}

local function lease(tenant, member, h, token)
  local ran_out = h[6] and 1 or 0
  h[6], h[7] = token, until_
  redis.call('HSET', aggregate_key(tenant, member), 'lt', h[6], 'lu', h[7])
  due_at(tenant, member, until_, h[10], false)
  leased[#leased + 1] = { tenant, member, ran_out, h }
end

local gates_at = 4 + tonumber(ARGV[3])
local at = gates_at + 1 + tonumber(ARGV[gates_at])
while at <= #ARGV do
  go_to(KEYS[tonumber(ARGV[at])])
  local tenant, urgent, others = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local token, before = at + 4, #leased
  at = token + urgent + others
  local waiting = redis.call('ZRANGEBYSCORE', tenant_urgent_key(tenant), '-inf', now, 'LIMIT', 0, PASSED)
  local first = {}
  for _, member in ipairs(waiting) do
    first[member] = true
    if urgent > 0 then
      local h = document(tenant, member)
      local due = h[7] or h[5]
      if not h[2] or not h[10] or not due or tonumber(due) > tonumber(now) then
        -- What a release before this one left behind.
        first[member] = nil
        due_at(tenant, member, h[2] and due, h[10], true)
      else
        lease(tenant, member, h, ARGV[token])
        token, urgent = token + 1, urgent - 1
      end
    end
  end
  local candidates = others == 0 and {}
    or redis.call('ZRANGEBYSCORE', tenant_due_key(tenant), '-inf', now, 'LIMIT', 0, others + #waiting)
  for _, member in ipairs(candidates) do
    if others > 0 and not first[member] then
      local h = document(tenant, member)
      if h[2] then
        lease(tenant, member, h, ARGV[token])
        token, others = token + 1, others - 1
      else
        due_at(tenant, member, nil, false, true)
      end
    end
  end
  requeue(tenant, tonumber(now), true)
  if #leased > before then
    local is_read, found = pcall(together, tenant, 3)
    if is_read then beside[#beside + 1] = { tenant, found } end
  end
end
return { leased, beside }
