-- What every script knows: where things are. KEYS[1] is the partition, as "<namespace>:{<number>}:"; every other key
-- begins with it, so that one script touches one slot.
-- Times are whole microseconds, as text: Lua's own tostring() would round them.
local p = KEYS[1]
local due_key, turn_key, labels_key = p .. 'due', p .. 'turn', p .. 'labels'

local function text(number) return string.format('%.0f', number) end
local function number(value) return value and value ~= '' and tonumber(value) or nil end

-- A member is "<kind>:<id>".
local function aggregate_key(tenant, member) return p .. 'a:' .. tenant .. ':' .. member end
local function gate_key(tenant, upstream) return p .. 'g:' .. tenant .. ':' .. upstream end
local function split(member) return string.match(member, '^([^:]*):(.*)$') end
