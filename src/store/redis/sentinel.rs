//! A master that Sentinel watches.
//!
//! The `redis` crate asks Sentinel once and then dials the same server for ever. This asks again whenever the server is
//! lost or turns out to be no master, and swaps the connection; whoever calls next gets the new one.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{
    Cmd, ConnectionInfo, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value, aio::MultiplexedConnection,
};
use tokio::{sync::Notify, time::timeout};

use super::{
    address::Watched,
    connection::{connect, is_lost},
};

/// Asking Sentinel, connecting and asking the server for its role, all together.
const RENEWAL_TIMEOUT: Duration = Duration::from_millis(1_500);

pub(super) struct Sentinel {
    watched: Watched,
    current: Mutex<Current>,
    /// Held by who looks for the master; the others wait for what it finds.
    renewing: tokio::sync::Mutex<()>,
    replaced: Notify,
}

#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    /// How many attempts to find the master there were when this was set: who waited for one makes none of its own.
    attempt: u64,
}

impl Sentinel {
    pub(super) async fn open(watched: Watched) -> Result<Self, RedisError> {
        let connection = find(&watched).await?;
        Ok(Self {
            watched,
            current: Mutex::new(Current { connection, attempt: 0 }),
            renewing: tokio::sync::Mutex::new(()),
            replaced: Notify::new(),
        })
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let mut current = self.current();
        let answer = command.query_async(&mut current.connection).await;
        if answer.as_ref().is_err_and(is_lost) {
            self.renew(current.attempt).await;
        }
        answer
    }

    /// Resolves when another connection was made.
    pub(super) async fn replaced(&self) {
        self.replaced.notified().await;
    }

    /// Looks for the master once, unless somebody did since `attempt`. If there is none now, the next call looks again.
    async fn renew(&self, attempt: u64) {
        let _renewing = self.renewing.lock().await;
        let mut current = self.current();
        if current.attempt != attempt {
            return;
        }
        current.attempt += 1;
        match find(&self.watched).await {
            Ok(connection) => {
                current.connection = connection;
                tracing::info!("connected to the Redis master that Sentinel names");
                self.replaced.notify_one();
            }
            Err(error) => tracing::debug!(category = error.category(), "Sentinel knows no master that answers"),
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }

    fn current(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks all sentinels at once: some may be gone, and some may not have heard yet.
async fn find(watched: &Watched) -> Result<MultiplexedConnection, RedisError> {
    let asked = watched.sentinels.iter().map(|sentinel| timeout(RENEWAL_TIMEOUT, master_by(sentinel, watched)));
    let mut asked: FuturesUnordered<_> = asked.collect();
    let mut worst = None;
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(Ok(connection)) => return Ok(connection),
            // A refusal says more than silence.
            Ok(Err(error)) if worst.is_none() || !error.is_io_error() => worst = Some(error),
            _ => {}
        }
    }
    Err(worst.unwrap_or_else(|| (ErrorKind::Io, "no sentinel answers").into()))
}

/// The connection to the master that this sentinel names.
async fn master_by(sentinel: &ConnectionInfo, watched: &Watched) -> Result<MultiplexedConnection, RedisError> {
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("get-master-addr-by-name").arg(&watched.name);
    let named: Option<(String, u16)> = ask.query_async(&mut connect(sentinel.clone()).await?).await?;
    let unknown = || RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, "no such master"));
    let (host, port) = named.ok_or_else(unknown)?;
    let mut connection = connect(watched.at(&host, port).ok_or_else(unknown)?).await?;
    // A sentinel that has not heard yet names the old master. One that hides its role refuses writes if it is none.
    let role: Result<Vec<Value>, _> = redis::cmd("ROLE").query_async(&mut connection).await;
    match role {
        Ok(role) if role.first().is_none_or(|role| *role != Value::BulkString(b"master".into())) => {
            Err((ErrorKind::Server(ServerErrorKind::ReadOnly), "it is no master any more").into())
        }
        Err(error) if is_lost(&error) => Err(error),
        _ => Ok(connection),
    }
}
