-- Whether a write succeeds: refused like any accepting commit by a full server or a replica.
return redis.call('SET', p .. 'ping', '1', 'PX', 60000)
