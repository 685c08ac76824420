//! The one server that has everything: the one at an address, or the master that Sentinel names.
//!
//! The `redis` crate's own manager keeps a connection that is merely silent, keeps a refused reconnection for ever, and
//! dials the master that it was told of once. This makes a new connection whenever a call says that the server is lost,
//! and swaps it; the next call goes over the new one.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use redis::{Cmd, ConnectionInfo, FromRedisValue, RedisError, aio::MultiplexedConnection};
use tokio::{sync::Notify, time::Instant};

use super::{address::Watched, dial::connect, failure::is_lost, sentinel};

/// A server that answers what only a lost one should is left no more often than that.
const BETWEEN_RENEWALS: Duration = Duration::from_millis(500);

/// Where the server is found.
pub(super) enum Place {
    At(ConnectionInfo),
    Watched(Watched),
}

pub(super) struct Server {
    place: Place,
    current: Mutex<Current>,
    /// Held by the call that looks for the server; the others wait for what it finds.
    renewing: tokio::sync::Mutex<()>,
    replaced: Notify,
}

#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    /// When that was.
    since: Instant,
    /// How many attempts to find the server there were when this was set: a call that waited for one makes none of its
    /// own.
    attempt: u64,
}

impl Server {
    pub(super) async fn open(place: Place) -> Result<Self, RedisError> {
        let connection = find(&place).await?;
        Ok(Self {
            place,
            current: Mutex::new(Current { connection, since: this_moment(), attempt: 0 }),
            renewing: tokio::sync::Mutex::new(()),
            replaced: Notify::new(),
        })
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let mut current = self.current();
        let answer = command.query_async(&mut current.connection).await;
        if let Err(error) = &answer
            && is_lost(error)
        {
            // A server that answers, but not as a master, may be all there is for now: to connect to it at every call
            // would only burden it.
            let is_hopeless = !error.is_io_error() && current.since.elapsed() < BETWEEN_RENEWALS;
            if !is_hopeless {
                self.renew(current.attempt).await;
            }
        }
        answer
    }

    /// Resolves when another connection was made.
    pub(super) async fn replaced(&self) {
        self.replaced.notified().await;
    }

    /// Looks for the server once, unless another call did since `attempt`. If there is none now, the next call looks
    /// again: until then the old connection stays, which may have been slow and not lost.
    async fn renew(&self, attempt: u64) {
        let _renewing = self.renewing.lock().await;
        let mut current = self.current();
        if current.attempt != attempt {
            return;
        }
        current.attempt += 1;
        current.since = this_moment();
        match find(&self.place).await {
            Ok(connection) => {
                current.connection = connection;
                tracing::info!("connected to Redis anew");
                self.replaced.notify_one();
            }
            Err(error) => tracing::debug!(category = error.category(), "Redis cannot be connected to anew"),
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }

    fn current(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how often a network is tried goes by real time, whatever the store's is"
)]
fn this_moment() -> Instant {
    Instant::now()
}

async fn find(place: &Place) -> Result<MultiplexedConnection, RedisError> {
    match place {
        Place::At(info) => connect(info.clone()).await,
        Place::Watched(watched) => sentinel::master(watched).await,
    }
}
