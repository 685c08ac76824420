-- The earliest due time of the partition, or nothing.
return redis.call('ZRANGE', due_key, 0, 0, 'WITHSCORES')[2]
