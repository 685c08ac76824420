-- The whole aggregate, as answers.rs takes it apart; of one that is not there every field is nil.
local function document(tenant, member)
  return redis.call('HMGET', aggregate_key(tenant, member), 'b', 'v', 's', 'c', 'd', 'lt', 'lu', 'sl', 'x', 'u')
end
