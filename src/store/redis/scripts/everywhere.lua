-- Where one server has all partitions, what is asked of every partition is asked at once: then each of KEYS is a partition.
local function go_to(partition)
  p = partition
  due_key, turn_key, labels_key = p .. 'due', p .. 'turn', p .. 'labels'
end
local function partitions() return KEYS[2] == KEYS[1] .. '-' and { KEYS[1] } or KEYS end
