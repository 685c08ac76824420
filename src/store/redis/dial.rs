//! One connection to one server, and how long it may take.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};

use super::failure::is_lost;

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

/// The same connection, if its server is a master. One that hides its role refuses writes if it is none.
pub(super) async fn to_master(mut connection: MultiplexedConnection) -> Result<MultiplexedConnection, RedisError> {
    let role: Result<Vec<Value>, _> = redis::cmd("ROLE").query_async(&mut connection).await;
    match role {
        Ok(role) if role.first().is_none_or(|role| *role != Value::BulkString(b"master".into())) => {
            Err((ErrorKind::Server(ServerErrorKind::ReadOnly), "it is no master any more").into())
        }
        Err(error) if is_lost(&error) => Err(error),
        _ => Ok(connection),
    }
}
