-- What most scripts know beyond where things are: how an aggregate is read and written, what a call came to, which tenants
-- have something due, the indexes.

-- The aggregate at `now` without its body, or nil. An expired receipt is not there.
local function read(tenant, member, now)
  local h = redis.call('HMGET', aggregate_key(tenant, member), 'v', 's', 'c', 'd', 'lt', 'lu', 'sl', 'x', 'u')
  if not h[1] or (h[8] and tonumber(h[8]) <= now) then return nil end
  return { v = h[1], s = h[2], c = h[3], d = h[4], lt = h[5], lu = h[6], sl = h[7], x = h[8], u = h[9] }
end

-- What a call came to is kept under its id: a repeat after a lost answer gets that, and so does a first attempt that
-- arrives after its repeat. Both come within seconds.
local REMEMBERED_MS = 300000
local function call_key(id) return p .. 'c:' .. id end
local function remembered(id) return redis.call('GET', call_key(id)) end
local function remember(id, verdict)
  redis.call('SET', call_key(id), verdict, 'PX', REMEMBERED_MS)
  return verdict
end

-- Beside the partition's tenants by their earliest due time, and by turn: the same, or when a tenant that had more due
-- was last served.
local function tenant_due_key(tenant) return p .. 't:' .. tenant .. ':due' end
-- Of those the urgent ones once more, by the same time. A release before this one does not know them and leaves entries
-- behind: the aggregate itself says whether it is urgent, and when it is due.
local function tenant_urgent_key(tenant) return p .. 't:' .. tenant .. ':urgent' end
-- `was_urgent`: it may have an entry among the urgent ones. What never was urgent has none to take away.
local function due_at(tenant, member, due, urgent, was_urgent)
  if due and due ~= '' then
    redis.call('ZADD', tenant_due_key(tenant), due, member)
    if urgent then return redis.call('ZADD', tenant_urgent_key(tenant), due, member) end
  else
    redis.call('ZREM', tenant_due_key(tenant), member)
  end
  if was_urgent then redis.call('ZREM', tenant_urgent_key(tenant), member) end
end
-- Writes what a hash holds from now on of the fields in `names`; `had` is what it is known to have held, or nil. What has not
-- changed is not written, into the append-only file neither.
local function write_fields(key, names, had, has)
  local set, gone = {}, {}
  for _, name in ipairs(names) do
    local value = has[name]
    if value and value ~= '' then
      if not had or had[name] ~= value then
        set[#set + 1] = name
        set[#set + 1] = value
      end
    elseif had and had[name] then
      gone[#gone + 1] = name
    end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  if #set > 0 then redis.call('HSET', key, unpack(set)) end
end

-- Everything but receipts is indexed by kind and status, over the partition and within its tenant. Members begin with the
-- time of creation, in digits that sort.
local function label_key(kind, status) return p .. 'n:' .. kind .. ':' .. status end
local function tenant_label_key(tenant, kind, status) return p .. 't:' .. tenant .. ':n:' .. kind .. ':' .. status end
-- Leads by creation alone: of no use any more. What an earlier version entered goes with its lead, or its next send.
local function tenant_leads_key(tenant) return p .. 't:' .. tenant .. ':leads' end

local function unindex(tenant, kind, id, present, stays)
  local entry = present.c .. '|' .. id
  redis.call('ZREM', label_key(kind, present.s), present.c .. '|' .. tenant .. '|' .. id)
  redis.call('ZREM', tenant_label_key(tenant, kind, present.s), entry)
  if kind == 'lead' and not stays then redis.call('ZREM', tenant_leads_key(tenant), entry) end
end

local function index(tenant, kind, id, w)
  local entry = w.created .. '|' .. id
  redis.call('SADD', labels_key, kind .. ':' .. w.status)
  redis.call('ZADD', label_key(kind, w.status), 0, w.created .. '|' .. tenant .. '|' .. id)
  redis.call('ZADD', tenant_label_key(tenant, kind, w.status), 0, entry)
end

-- What a hash holds of an aggregate.
local NAMES = { 'b', 'v', 's', 'c', 'd', 'lt', 'lu', 'sl', 'u', 'x' }

-- Puts a tenant in the queue for leases, after something changed its earliest due time. A tenant that waits for its turn already
-- keeps its place; one that was just served goes to the end.
local function requeue(tenant, now, served)
  local first = redis.call('ZRANGE', tenant_due_key(tenant), 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', due_key, tenant)
    redis.call('ZREM', turn_key, tenant)
    return
  end
  local earliest = tonumber(first[2])
  if not served then
    -- Nothing has changed that the queue goes by: as it was for most commits.
    local known = redis.call('ZSCORE', due_key, tenant)
    if known and tonumber(known) == earliest then return end
  end
  redis.call('ZADD', due_key, text(earliest), tenant)
  local turn = earliest
  if served then
    turn = math.max(earliest, now)
  elseif earliest <= now then
    local waits_since = number(redis.call('ZSCORE', turn_key, tenant))
    if waits_since and waits_since <= now then return end
  end
  redis.call('ZADD', turn_key, text(turn), tenant)
end
