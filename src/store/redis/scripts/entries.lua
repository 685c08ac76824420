-- The entries of one index that nothing stands behind. Answers how many it looked at, and those entries, each as tenant, member.
-- ARGV: the index's key, where to begin, how many to look at.
local key, first, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local partition, rest = string.match(key, '^(.-}:)(.*)$')
go_to(partition)
local wrong = {}

-- Whether the aggregate is there and says what the entry says.
local function says(tenant, member, status, created)
  local h = redis.pcall('HMGET', aggregate_key(tenant, member), 's', 'c', 'b')
  return h[3] and (not status or h[1] == status) and (not created or h[2] == created)
end

local function look(entry, score)
  local tenant, below = string.match(rest, '^t:([^:]*):(.*)$')
  if rest == 'due' or rest == 'turn' then
    local earliest = redis.call('ZRANGE', tenant_due_key(entry), 0, 0, 'WITHSCORES')[2]
    if not earliest or (rest == 'due' and tonumber(earliest) ~= tonumber(score)) then return entry, '' end
  elseif below == 'due' then
    local h = redis.pcall('HMGET', aggregate_key(tenant, entry), 'd', 'lu')
    local due = h[2] or h[1]
    if not due or tonumber(due) ~= tonumber(score) then return tenant, entry end
  elseif below == 'leads' then
    local member = 'lead:' .. string.sub(entry, 22)
    if not says(tenant, member, nil, string.sub(entry, 1, 20)) then return tenant, member end
  elseif below ~= 'urgent' then
    -- Entries that a release before this one left among the urgent ones do no harm: see due_at.
    local kind, status = string.match(below or rest, '^n:([^:]*):(.*)$')
    if not kind then return end
    local created, id = string.sub(entry, 1, 20), string.sub(entry, 22)
    if not tenant then tenant, id = string.match(id, '^([^|]*)|(.*)$') end
    if not id or not says(tenant, kind .. ':' .. id, status, created) then return tenant or '', kind .. ':' .. (id or '') end
  end
end

if type(redis.pcall('ZCARD', key)) == 'table' then return { 0, wrong } end
local entries = redis.call('ZRANGE', key, first, first + most - 1, 'WITHSCORES')
for i = 1, #entries, 2 do
  local tenant, member = look(entries[i], entries[i + 1])
  if tenant then wrong[#wrong + 1] = { tenant, member } end
end
return { #entries / 2, wrong }
