-- The time of the server that holds the partition, so that in a cluster everybody asks the same one.
return redis.call('TIME')
