-- Makes aggregates due that are still unleased and in one of the statuses, none later than it was. Answers how many.
-- ARGV: now, tenant, how many statuses, the statuses; per aggregate: member, when.
local now, tenant = tonumber(ARGV[1]), ARGV[2]
local first = 4 + tonumber(ARGV[3])
local wanted = {}
for i = 4, first - 1 do wanted[ARGV[i]] = true end
local woken = 0
for i = first, #ARGV, 2 do
  local member, due = ARGV[i], ARGV[i + 1]
  local present = read(tenant, member, now)
  if present and not present.lt and wanted[present.s] then
    local before = number(present.d)
    if not before or before > tonumber(due) then
      redis.call('HSET', aggregate_key(tenant, member), 'd', due)
      due_at(tenant, member, due, present.u, false)
    end
    woken = woken + 1
  end
end
requeue(tenant, now, false)
return woken
