-- The first due time of the partitions after `now`, or nothing. ARGV: now.
-- A tenant with something due by now may have something later as well; such are few when a replica asks, since what is due
-- was leased just before. Where they are many, not all are looked at: a replica sleeps a second at most.
local LOOKED_AT = 1000
local after = '(' .. ARGV[1]
local function first(key) return redis.call('ZRANGEBYSCORE', key, after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] end
local earliest
local function look(key)
  local due = first(key)
  if due and (not earliest or tonumber(due) < tonumber(earliest)) then earliest = due end
end
for _, partition in ipairs(partitions()) do
  go_to(partition)
  look(due_key)
  for _, tenant in ipairs(redis.call('ZRANGEBYSCORE', due_key, '-inf', ARGV[1], 'LIMIT', 0, LOOKED_AT)) do
    look(tenant_due_key(tenant))
  end
end
return earliest
