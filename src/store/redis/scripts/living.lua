-- For how many seconds the last sign of life of any replica still counts; 0: there is none.
local now, left = tonumber(redis.call('TIME')[1]), 0
local signs = redis.call('ZRANGEBYSCORE', p .. 'alive', now, '+inf', 'WITHSCORES')
for i = 2, #signs, 2 do left = math.max(left, tonumber(signs[i]) - now) end
return left
