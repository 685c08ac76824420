-- The whole aggregate, as answers.rs takes it apart; of one that is not there every field is nil.
local function document(tenant, member)
  return redis.call('HMGET', aggregate_key(tenant, member), 'b', 'v', 's', 'c', 'd', 'lt', 'lu', 'sl', 'x', 'u')
end
-- The aggregates and the gates' views that ARGV names from `at` on: how many of each, then their members, or upstreams.
local function together(tenant, at)
  local documents, views = {}, {}
  local gates_at = at + 1 + tonumber(ARGV[at])
  for i = at + 1, gates_at - 1 do documents[#documents + 1] = document(tenant, ARGV[i]) end
  for i = gates_at + 1, gates_at + tonumber(ARGV[gates_at]) do
    views[#views + 1] = redis.call('HMGET', gate_key(tenant, ARGV[i]), 'paused', 'open', 'failures')
  end
  return { documents, views }
end
