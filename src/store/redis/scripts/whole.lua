-- In how many of the partitions the marker lies. ARGV: the marker.
local seen = 0
for _, partition in ipairs(partitions()) do
  if redis.call('GET', partition .. 'marker') == ARGV[1] then seen = seen + 1 end
end
return seen
