-- The arithmetic of gates: with report.lua the same steps as GateState in gate/state.rs, to which the conformance suite
-- holds both.
local SECOND = 1000000
local TOLERANCE, PATIENCE = SECOND, 30 * SECOND
local MARKS = 25
local FIRST_COOL_DOWN = 5 * SECOND
-- A gate at rest for so long is garbage, or for up to two hours more: only once an hour it is put off.
local REST_MS, HOUR = 86400000, 3600 * SECOND

-- What a hash holds of a gate: times and counts, of which nothing stands for none, and at LEFT its departures.
local GATE_NAMES = { 'grid', 'tail', 'returning', 'paused', 'open', 'probe', 'cool', 'failures', 'left', 'ahead', 'since',
  'last' }
local LEFT = 9

-- `had` is what the hash holds, in the order of GATE_NAMES, times and counts as numbers: what has not changed is neither
-- made a text again nor written. That saves a sixth of what a reservation costs, and is why it does without write_fields.
local function gate_read(key)
  local had = redis.call('HMGET', key, unpack(GATE_NAMES))
  local g = { had = had, left = had[LEFT] or '' }
  for i = 1, #GATE_NAMES do
    local value = i ~= LEFT and had[i]
    if value then
      value = tonumber(value)
      had[i], g[GATE_NAMES[i]] = value, value
    end
  end
  return g
end

-- The departures stay one text, `WIDTH` digits each (every time from 2001 to 2286 has so many) and a comma between two: of
-- up to MARKS no more than two are looked at, and to take the text apart was half of what a reservation costs.
local WIDTH = 16
-- The departure before so many later ones, or nil.
local function departed(g, later)
  local ends = #g.left - later * (WIDTH + 1)
  return ends > 0 and tonumber(string.sub(g.left, ends - WIDTH + 1, ends)) or nil
end

local function gate_write(key, g, now)
  local had, last, set, gone = g.had, now, {}, {}
  for i = 1, #GATE_NAMES do
    local name = GATE_NAMES[i]
    local value = g[name]
    if value and i ~= LEFT and value > last then last = value end
    if value and value ~= (had[i] or '') then
      set[#set + 1] = name
      set[#set + 1] = i == LEFT and value or text(value)
    elseif had[i] and not value then
      gone[#gone + 1] = name
    end
  end
  if gone[1] then redis.call('HDEL', key, unpack(gone)) end
  if set[1] then redis.call('HSET', key, unpack(set)) end
  local before = tonumber(string.sub(had[LEFT] or '', -WIDTH))
  if not before or math.floor(before / HOUR) ~= math.floor(now / HOUR) or last > now + HOUR then
    redis.call('PEXPIRE', key, text(REST_MS + math.floor((last - now + 2 * HOUR) / 1000)))
  end
end

-- The request that goes while the breaker is open is its probe.
local function gate_go(g, opens, now)
  if opens > now then return text(opens) end
  if g.open then g.probe = now + PATIENCE end
  return 'go'
end

-- The next slot of the lane that the request belongs to, not before `spaced`.
local function gate_slot(g, interval, spaced, held, now, ahead)
  local at
  if ahead then
    at = math.max(spaced, g.ahead and g.ahead + interval or spaced)
    if at > now then
      local quarter = math.floor(interval / 4)
      if g.grid and g.tail and at > g.grid - interval and at < g.tail + interval then
        at = g.grid + quarter + math.ceil((at - g.grid - quarter) / interval) * interval
      else
        at = at + quarter
      end
    end
    g.ahead = at
  elseif held then
    local half = math.floor(interval / 2)
    at = math.max(spaced, g.returning and g.returning + interval or spaced)
    if g.grid and g.tail and at > g.grid - half and at < g.tail + half then
      at = g.grid + half + math.ceil((at - g.grid - half) / interval) * interval
    end
    g.returning = at
  else
    at = math.max(spaced, g.tail and g.tail + interval or spaced, g.returning and g.returning + interval or spaced)
    if g.grid and g.tail and g.tail >= now then
      at = g.grid + math.ceil((at - g.grid) / interval) * interval
    else
      g.grid = at
    end
    g.tail = at
  end
  return at
end

-- Returns the verdict ("go" or a time) and the slot to keep beside the aggregate (or nil). In fewer pieces than GateState,
-- which has a function for each step: Redis makes each function anew at every call.
local function gate_reserve(g, interval, limit, held, now, ahead)
  -- Before then no request goes: there is a pause, a cool-down, or another request that probes.
  local opens = g.paused or -math.huge
  if g.open then
    local until_ = g.open
    if now >= until_ and g.probe and g.probe > now then until_ = math.min(g.probe, now + FIRST_COOL_DOWN) end
    opens = math.max(opens, until_)
  end
  if not interval then return gate_go(g, opens, now), held and text(held) end

  -- When fewer than the limit will have left in the second before.
  local nth = math.max(math.ceil(limit / MARKS), 1)
  local still_there = math.floor(math.max(limit - 1 - (g.since or 0), 0) / nth)
  local gone = departed(g, still_there)
  local earliest = math.max(opens, gone and gone + SECOND or now, now)
  if g.ahead and not ahead and g.ahead > now then earliest = math.max(earliest, g.ahead + interval) end
  local last = g.last or departed(g, 0)
  local spaced = last and math.max(earliest, last + interval) or earliest
  local at
  if held and held > now and held >= opens and not (ahead and (not g.ahead or held > g.ahead)) then
    at = held
  elseif held and held <= now and now - held <= TOLERANCE and earliest == now then
    at = now
  elseif held and spaced == now then
    at = now
  else
    at = gate_slot(g, interval, spaced, held, now, ahead)
  end
  if at > now then return text(at), text(at) end

  local leaves = math.max(last or now, now)
  g.since, g.last = (g.since or 0) + 1, leaves
  if g.since >= nth then
    g.since, g.last = nil, nil
    local left = string.format('%016.0f', leaves)
    g.left = g.left == '' and left or g.left .. ',' .. left
  end
  g.left = string.sub(g.left, -(math.ceil(limit / nth) * (WIDTH + 1) - 1))
  return gate_go(g, opens, now), nil
end
