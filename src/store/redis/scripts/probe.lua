-- Runs every command that the scripts use, on keys of its own that expire, and answers those that are refused, each with why.
local refused = {}
local function try(name, ...)
  local answer = redis.pcall(name, ...)
  if type(answer) == 'table' and answer.err then table.insert(refused, name .. ' ' .. answer.err) end
end
local text, hash, set, sorted = p .. 'probe:t', p .. 'probe:h', p .. 'probe:s', p .. 'probe:z'
try('SET', text, '1', 'PX', 60000)
try('GET', text)
try('HSET', hash, 'a', '1')
try('HGET', hash, 'a')
try('HMGET', hash, 'a')
try('HEXISTS', hash, 'a')
try('HDEL', hash, 'b')
try('PEXPIRE', hash, 60000)
try('SADD', set, 'a')
try('SMEMBERS', set)
try('ZADD', sorted, 1, 'a')
try('ZCARD', sorted)
try('ZCOUNT', sorted, 0, 1)
try('ZRANGE', sorted, 0, 0)
try('ZRANGEBYLEX', sorted, '-', '+')
try('ZRANGEBYSCORE', sorted, 0, 1)
try('ZREVRANGEBYLEX', sorted, '+', '-')
try('ZSCORE', sorted, 'a')
try('ZREM', sorted, 'a')
try('DEL', text, hash, set, sorted)
try('TIME')
return refused
