-- The arithmetic of gates: with report.lua the same steps as GateState in gate/state.rs, to which the conformance suite
-- holds both.
local SECOND = 1000000
local TOLERANCE, PATIENCE = SECOND, 30 * SECOND
local MARKS = 25
local FIRST_COOL_DOWN = 5 * SECOND
-- A gate at rest for so long is garbage, or for up to two hours more: only once an hour it is put off.
local REST_MS, HOUR = 86400000, 3600 * SECOND

local GATE_NAMES = { 'grid', 'tail', 'returning', 'paused', 'open', 'probe', 'cool', 'failures', 'left', 'ahead', 'since',
  'last' }

local function gate_read(key)
  local h = redis.call('HMGET', key, unpack(GATE_NAMES))
  local had = {}
  for i, name in ipairs(GATE_NAMES) do had[name] = h[i] end
  return { had = had, grid = number(h[1]), tail = number(h[2]), returning = number(h[3]), paused = number(h[4]),
    open = number(h[5]), probe = number(h[6]), cool = number(h[7]) or 0, failures = number(h[8]) or 0, left = h[9] or '',
    ahead = number(h[10]), since = number(h[11]) or 0, last = number(h[12]) }
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
  local last = now
  local has = { left = g.left, since = g.since > 0 and text(g.since) }
  for _, name in ipairs({ 'grid', 'tail', 'returning', 'ahead', 'paused', 'open', 'probe', 'cool', 'failures', 'last' }) do
    if g[name] then
      has[name] = text(g[name])
      last = math.max(last, g[name])
    end
  end
  write_fields(key, GATE_NAMES, g.had, has)
  local before = tonumber(string.sub(g.had.left or '', -WIDTH))
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
  local still_there = math.floor(math.max(limit - 1 - g.since, 0) / nth)
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
  g.since, g.last = g.since + 1, leaves
  if g.since >= nth then
    g.since, g.last = 0, nil
    local left = string.format('%016.0f', leaves)
    g.left = g.left == '' and left or g.left .. ',' .. left
  end
  g.left = string.sub(g.left, -(math.ceil(limit / nth) * (WIDTH + 1) - 1))
  return gate_go(g, opens, now), nil
end
