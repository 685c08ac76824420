-- ARGV: now, tenant, upstream, "limited", "failed", "recovered" or "opened", until when.
local LONGEST_COOL_DOWN, FAILURES_TO_OPEN = 300 * SECOND, 5
local now, key = tonumber(ARGV[1]), gate_key(ARGV[2], ARGV[3])
local report, until_ = ARGV[4], number(ARGV[5])
local g = gate_read(key)

local function close()
  g.failures, g.open, g.probe, g.cool = nil, nil, nil, nil
end

if report == 'limited' then
  g.paused = math.max(g.paused or until_, until_)
  close()
elseif report == 'recovered' then
  close()
elseif report == 'opened' then
  g.paused = nil
  close()
else
  g.failures = (g.failures or 0) + 1
  if not g.open and g.failures >= FAILURES_TO_OPEN then
    g.cool = FIRST_COOL_DOWN
    g.open = now + g.cool
  elseif g.open and g.probe then
    g.cool = math.min((g.cool or 0) * 2, LONGEST_COOL_DOWN)
    g.open = now + g.cool
    g.probe = nil
  end
end
gate_write(key, g, now)
return 'ok'
