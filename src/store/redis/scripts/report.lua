-- ARGV: now, tenant, upstream, "limited", "failed", "recovered" or "opened", until when.
local now, key = tonumber(ARGV[1]), gate_key(ARGV[2], ARGV[3])
local gate = gate_read(key)
gate_report(gate, ARGV[4], number(ARGV[5]), now)
gate_write(key, gate, now)
return 'ok'
