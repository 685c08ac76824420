//! How the server that holds a partition is reached, whatever the topology, and what is asked again.
//!
//! Promises that a call is repeated only where that has no second effect, and that no failure quotes what was sent.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{
    Cmd, ConnectionInfo, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};

use super::{
    address::{Address, tcp_settings},
    dial::{CONNECTION_TIMEOUT, RESPONSE_TIMEOUT, connect},
    failure::{is_full, is_lost, is_moving},
    scripts::Call,
    server::{Place, Server},
};

/// Between the attempts at one call whose answer was lost: a dropped connection is back within the first, a restart
/// takes longer than a caller should wait.
const LOST_PAUSES: [u64; 2] = [50, 250];
/// Between the attempts at a call that was refused because its slot is on the move: together 1.7 seconds.
const MOVING_PAUSES: [u64; 8] = [10, 25, 50, 100, 200, 400, 450, 450];

/// How often a call is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insist {
    /// A second time would have a second effect.
    Never,
    /// When the answer was lost. For a call to all partitions: one on the move must not hold up the others.
    Briefly,
    /// And while the tenant's slot is on the move.
    Patiently,
}

#[derive(Clone)]
pub(super) enum Connection {
    Server(Arc<Server>),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn open(address: Address) -> Result<Self, RedisError> {
        match address {
            Address::Server(info) => Ok(Self::Server(Arc::new(Server::open(Place::At(info)).await?))),
            Address::Sentinel(watched) => Ok(Self::Server(Arc::new(Server::open(Place::Watched(watched)).await?))),
            Address::Cluster(servers) => {
                let client = ClusterClientBuilder::new(servers.clone())
                    .connection_timeout(CONNECTION_TIMEOUT)
                    .response_timeout(RESPONSE_TIMEOUT)
                    .tcp_settings(tcp_settings())
                    // Whether a repeat is harmless is known here only, and it would burn its retries before the
                    // connections are back (redis-rs#2277). Nor is a slot on the move followed (ASK) to where half of
                    // its keys are: see Script::key. A refusal still makes it learn the slots anew.
                    .retries(0)
                    .build()?;
                match client.get_async_connection().await {
                    Ok(connection) => Ok(Self::Cluster(connection)),
                    Err(error) => Err(why_not(servers).await.unwrap_or(error)),
                }
            }
        }
    }

    /// Whether one server has all keys.
    pub(super) fn is_one_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// One command, once.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            Self::Server(server) => server.query(command).await,
            Self::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        }
    }

    /// One command of no second effect, and again as long as it makes sense.
    pub(super) async fn insist<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let mut attempts = Attempts::new(Insist::Patiently);
        loop {
            match self.query(command).await {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    /// One script, once.
    pub(super) async fn run<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, RedisError> {
        match self.query(call.by_digest()).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(&call.by_text()).await
            }
            answer => answer,
        }
    }

    /// One script, and again as far as `insist` says.
    pub(super) async fn call<T: FromRedisValue>(&self, call: &Call<'_>, insist: Insist) -> Result<T, RedisError> {
        let mut attempts = Attempts::new(insist);
        loop {
            match self.run(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    /// Resolves when the server may have become another one.
    pub(super) async fn replaced(&self) {
        match self {
            Self::Server(server) => server.replaced().await,
            Self::Cluster(_) => std::future::pending().await,
        }
    }
}

/// What keeps us away from one of these servers: of a whole cluster the crate says only that none let us in, and
/// the operator has to know whether it is the address, the certificate or the password.
async fn why_not(servers: Vec<ConnectionInfo>) -> Option<RedisError> {
    let alone = join_all(servers.into_iter().map(connect)).await;
    // A refusal says more than silence.
    alone.into_iter().filter_map(Result::err).min_by_key(RedisError::is_io_error)
}

/// What is left of the attempts at something.
pub(super) struct Attempts {
    insist: Insist,
    lost: std::slice::Iter<'static, u64>,
    moving: std::slice::Iter<'static, u64>,
    /// The last attempt without an answer: it may still be on its way.
    unanswered: Option<RedisError>,
}

impl Attempts {
    pub(super) fn new(insist: Insist) -> Self {
        Self { insist, lost: LOST_PAUSES.iter(), moving: MOVING_PAUSES.iter(), unanswered: None }
    }

    /// Returns when it is time to try again, or the error if there is no point. That a server is full says that nothing
    /// was written: so it is told only where each attempt was answered. One on its way may yet find room.
    pub(super) async fn after(&mut self, error: RedisError) -> Result<(), RedisError> {
        if is_full(&error) {
            return Err(self.unanswered.take().unwrap_or(error));
        }
        let pause = if is_moving(&error) {
            self.moving.next().filter(|_| self.insist == Insist::Patiently)
        } else if is_lost(&error) {
            self.lost.next().filter(|_| self.insist != Insist::Never)
        } else {
            None
        };
        let Some(pause) = pause else { return Err(error) };
        if is_lost(&error) {
            self.unanswered = Some(error);
        }
        tokio::time::sleep(Duration::from_millis(*pause)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::failure::said;

    #[tokio::test(start_paused = true)]
    async fn a_server_is_not_called_full_by_an_attempt_whose_predecessor_had_no_answer() {
        let full = || said("OOM command not allowed when used memory > 'maxmemory'.");
        let timed_out = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let mut attempts = Attempts::new(Insist::Patiently);
        let told = attempts.after(full()).await.expect_err("no other attempt finds room");
        assert!(is_full(&told), "{told}");
        attempts.after(timed_out()).await.expect("the server may be back");
        let told = attempts.after(full()).await.expect_err("no other attempt finds room");
        assert!(is_lost(&told), "{told}");
    }
}
