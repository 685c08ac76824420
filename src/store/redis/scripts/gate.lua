-- The arithmetic of gates: the same steps as GateState in gate/state.rs, to which the conformance suite holds it.
local SECOND = 1000000
local TOLERANCE, PATIENCE = SECOND, 30 * SECOND
local MARKS = 25
local FIRST_COOL_DOWN, LONGEST_COOL_DOWN, FAILURES_TO_OPEN = 5 * SECOND, 300 * SECOND, 5
-- A gate at rest for so long is garbage.
local REST_MS = 86400000

local GATE_NAMES = { 'grid', 'tail', 'returning', 'paused', 'open', 'probe', 'cool', 'failures', 'left', 'ahead', 'since',
  'last' }

local function gate_read(key)
  local h = redis.call('HMGET', key, unpack(GATE_NAMES))
  local had = {}
  for i, name in ipairs(GATE_NAMES) do had[name] = h[i] end
  local g = { had = had, grid = number(h[1]), tail = number(h[2]), returning = number(h[3]), paused = number(h[4]),
    open = number(h[5]), probe = number(h[6]), cool = number(h[7]) or 0, failures = number(h[8]) or 0, left = {},
    ahead = number(h[10]), since = number(h[11]) or 0, last = number(h[12]) }
  -- As text: of up to MARKS departures no more than two are looked at, and to turn all into numbers and back was half of
  -- what a reservation costs.
  for departure in string.gmatch(h[9] or '', '[^,]+') do g.left[#g.left + 1] = departure end
  return g
end

local function gate_write(key, g, now)
  local last = now
  local has = { left = table.concat(g.left, ','), since = g.since > 0 and text(g.since) }
  for _, name in ipairs({ 'grid', 'tail', 'returning', 'ahead', 'paused', 'open', 'probe', 'cool', 'failures', 'last' }) do
    if g[name] then
      has[name] = text(g[name])
      last = math.max(last, g[name])
    end
  end
  write_fields(key, GATE_NAMES, g.had, has)
  redis.call('PEXPIRE', key, text(REST_MS + math.floor((last - now) / 1000)))
end

local function gate_close(g)
  g.failures, g.open, g.probe, g.cool = 0, nil, nil, 0
end

-- Before then no request goes: there is a pause, a cool-down, or another request that probes.
local function gate_opens(g, now)
  local pause = g.paused or -math.huge
  if not g.open then return pause end
  if now >= g.open and g.probe and g.probe > now then
    return math.max(pause, math.min(g.probe, now + FIRST_COOL_DOWN))
  end
  return math.max(pause, g.open)
end

-- The request that goes while the breaker is open is its probe.
local function gate_go(g, opens, now)
  if opens > now then return text(opens) end
  if g.open then g.probe = now + PATIENCE end
  return 'go'
end

local function gate_after(slot, interval, otherwise)
  if slot then return slot + interval end
  return otherwise
end

local function gate_nth(limit) return math.max(math.ceil(limit / MARKS), 1) end
local function gate_last(g) return g.last or number(g.left[#g.left]) end

local function gate_room(g, limit, now)
  local still_there = math.floor(math.max(limit - 1 - g.since, 0) / gate_nth(limit))
  local gone = number(g.left[#g.left - still_there])
  return gone and gone + SECOND or now
end

local function gate_depart(g, limit, now)
  local nth = gate_nth(limit)
  now = math.max(gate_last(g) or now, now)
  g.since, g.last = g.since + 1, now
  if g.since >= nth then
    g.since, g.last = 0, nil
    g.left[#g.left + 1] = text(now)
  end
  while #g.left > math.ceil(limit / nth) do table.remove(g.left, 1) end
end

-- Returns the verdict ("go" or a time) and the slot to keep beside the aggregate (or nil).
local function gate_reserve(g, interval, limit, held, now, ahead)
  local opens = gate_opens(g, now)
  if not interval then return gate_go(g, opens, now), held and text(held) end
  local earliest = math.max(opens, gate_room(g, limit, now), now)
  if g.ahead and not ahead and g.ahead > now then earliest = math.max(earliest, g.ahead + interval) end
  local spaced = math.max(earliest, gate_after(gate_last(g), interval, earliest))
  local half, quarter = math.floor(interval / 2), math.floor(interval / 4)
  local at
  if held and held > now and held >= opens and not (ahead and (not g.ahead or held > g.ahead)) then
    at = held
  elseif held and held <= now and now - held <= TOLERANCE and earliest == now then
    at = now
  elseif held and spaced == now then
    at = now
  elseif ahead then
    at = math.max(spaced, gate_after(g.ahead, interval, spaced))
    if at > now then
      if g.grid and g.tail and at > g.grid - interval and at < g.tail + interval then
        at = g.grid + quarter + math.ceil((at - g.grid - quarter) / interval) * interval
      else
        at = at + quarter
      end
    end
    g.ahead = at
  elseif held then
    at = math.max(spaced, gate_after(g.returning, interval, spaced))
    if g.grid and g.tail and at > g.grid - half and at < g.tail + half then
      at = g.grid + half + math.ceil((at - g.grid - half) / interval) * interval
    end
    g.returning = at
  else
    at = math.max(spaced, gate_after(g.tail, interval, spaced), gate_after(g.returning, interval, spaced))
    if g.grid and g.tail and g.tail >= now then
      at = g.grid + math.ceil((at - g.grid) / interval) * interval
    else
      g.grid = at
    end
    g.tail = at
  end
  if at > now then return text(at), text(at) end
  gate_depart(g, limit, now)
  return gate_go(g, opens, now), nil
end

local function gate_report(g, report, until_, now)
  if report == 'limited' then
    g.paused = math.max(g.paused or until_, until_)
    gate_close(g)
  elseif report == 'recovered' then
    gate_close(g)
  elseif report == 'opened' then
    g.paused = nil
    gate_close(g)
  else
    g.failures = g.failures + 1
    if not g.open and g.failures >= FAILURES_TO_OPEN then
      g.cool = FIRST_COOL_DOWN
      g.open = now + g.cool
    elseif g.open and g.probe then
      g.cool = math.min(g.cool * 2, LONGEST_COOL_DOWN)
      g.open = now + g.cool
      g.probe = nil
    end
  end
end
