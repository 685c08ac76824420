//! One connection to one server, and how long it may take.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ConnectionInfo, RedisError, aio::MultiplexedConnection};

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
