-- The time of the server that holds the partition, so that in a cluster all replicas ask the same one.
return redis.call('TIME')
