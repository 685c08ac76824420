-- Kind and status, how many, and the first entry, which begins with the earliest time of creation.
local found = {}
for i, label in ipairs(redis.call('SMEMBERS', labels_key)) do
  local key = label_key(split(label))
  found[i] = { label, redis.call('ZCARD', key), redis.call('ZRANGE', key, 0, 0)[1] or '' }
end
return found
