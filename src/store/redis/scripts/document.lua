-- What a worker goes by of a gate, as answers.rs takes it apart.
local function gate_view(tenant, upstream)
  return redis.call('HMGET', gate_key(tenant, upstream), 'paused', 'open', 'failures')
end
-- The whole aggregate, as answers.rs takes it apart; of one that is not there every field is nil.
local function document(tenant, member)
  return redis.call('HMGET', aggregate_key(tenant, member), 'b', 'v', 's', 'c', 'd', 'lt', 'lu', 'sl', 'x', 'u')
end
