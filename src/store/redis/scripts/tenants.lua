-- The partition's index entries of one kind, as "<created>|<tenant>|<id>". ARGV: kind.
local found = {}
for _, label in ipairs(redis.call('SMEMBERS', labels_key)) do
  local kind, status = split(label)
  if kind == ARGV[1] then
    for _, entry in ipairs(redis.call('ZRANGE', label_key(kind, status), 0, -1)) do found[#found + 1] = entry end
  end
end
return found
