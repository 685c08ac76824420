-- What every script knows: where things are, how an aggregate is loaded. KEYS[1] is the partition, as
-- "<namespace>:{<number>}:"; every other key begins with it, so that one script touches one slot. Where one server has
-- them all, what is asked of every partition is asked at once: then each of KEYS is a partition.
-- Times are whole microseconds, as text: Lua's own tostring() would round them.
local p, due_key, turn_key, labels_key
local function go_to(partition)
  p = partition
  due_key, turn_key, labels_key = p .. 'due', p .. 'turn', p .. 'labels'
end
go_to(KEYS[1])
local function partitions() return KEYS[2] == KEYS[1] .. '-' and { KEYS[1] } or KEYS end

local function text(number) return string.format('%.0f', number) end
local function number(value) return value and value ~= '' and tonumber(value) or nil end

-- A member is "<kind>:<id>".
local function aggregate_key(tenant, member) return p .. 'a:' .. tenant .. ':' .. member end
local function gate_key(tenant, upstream) return p .. 'g:' .. tenant .. ':' .. upstream end
local function split(member) return string.match(member, '^([^:]*):(.*)$') end

-- The whole aggregate, as answers.rs takes it apart; of one that is not there every field is nil.
local function document(tenant, member)
  return redis.call('HMGET', aggregate_key(tenant, member), 'b', 'v', 's', 'c', 'd', 'lt', 'lu', 'sl', 'x', 'u')
end
