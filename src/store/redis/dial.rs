//! One connection to one server, how long it may take, and what servers tell of themselves.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, FromRedisValue as _, RedisError, Value, aio::MultiplexedConnection,
};

/// A script takes well under a millisecond; a server that is silent for so long is gone.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// To connect and to be let in.
pub(super) const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) async fn connect(info: ConnectionInfo) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
}

/// What each server tells under that name, its colon included, in what INFO answers: a text, or of a cluster one text
/// per server.
pub(super) fn told(info: &Value, name: &str) -> Vec<Option<String>> {
    let texts: Vec<&Value> = match info {
        Value::Map(servers) => servers.iter().map(|(_, text)| text).collect(),
        text => vec![text],
    };
    let value = |text: &Value| {
        let text = String::from_redis_value_ref(text).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    texts.into_iter().map(value).collect()
}
