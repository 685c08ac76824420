//! The one server that has everything: the one at an address, or the master that Sentinel names.
//!
//! The `redis` crate's own manager keeps a connection that is merely silent, keeps a refused reconnection for ever, and
//! dials the master that it was told of once. This makes a new connection whenever a call says that the server is lost,
//! and swaps it; the next call goes over the new one.
//! Each thread that answers requests has a runtime of its own, and a call over a connection that another runtime serves
//! wakes two threads: so the first few runtimes have connections of their own. Promises that these lead to the server
//! that the first one leads to: when a call over any of them says that the server is lost, all are left.

use std::{
    future::poll_fn,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use redis::{Cmd, ConnectionInfo, FromRedisValue, RedisError, aio::MultiplexedConnection};
use tokio::{
    runtime::{self, Handle},
    sync::Notify,
    time::Instant,
};

use super::{address::Watched, dial::connect, failure::is_lost, sentinel};

/// A server that answers what only a lost one should is left no more often than that.
const BETWEEN_RENEWALS: Duration = Duration::from_millis(500);
/// So many connections at most. A machine of many cores has many runtimes, and some servers let in thirty clients.
const MOST: usize = 4;
/// A further connection is a convenience: where none can be made, the next attempt is that far off.
const BETWEEN_FURTHER: Duration = Duration::from_secs(30);

/// Where the server is found.
pub(super) enum Place {
    At(ConnectionInfo),
    Watched(Watched),
}

pub(super) struct Server {
    place: Place,
    /// The runtime that opened this, and serves the first connection: it outlives those of the threads that answer
    /// requests.
    home: Handle,
    lines: RwLock<Lines>,
    /// Held by the call that looks for the server; the others wait for what it finds.
    renewing: tokio::sync::Mutex<()>,
    /// Held by the call that makes a further connection; the others go over the first meanwhile. When the last attempt
    /// at one failed.
    making: tokio::sync::Mutex<Option<Instant>>,
    replaced: Notify,
}

struct Lines {
    first: Line,
    further: Vec<(runtime::Id, Line)>,
}

/// A connection.
#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    /// When it was made, or the last attempt at a better one.
    since: Instant,
    /// How many attempts to find the server there were when this was set: a call that waited for one makes none of its
    /// own.
    attempt: u64,
}

impl Lines {
    /// The one for calls of this runtime; `None`: one is to be made.
    fn of(&self, home: runtime::Id, here: runtime::Id) -> Option<&Line> {
        let own = self.further.iter().find(|(runtime, _)| *runtime == here).map(|(_, line)| line);
        own.or_else(|| (here == home || self.further.len() + 1 >= MOST).then_some(&self.first))
    }
}

impl Server {
    pub(super) async fn open(place: Place) -> Result<Self, RedisError> {
        let first = Line { connection: find(&place).await?, since: this_moment(), attempt: 0 };
        Ok(Self {
            place,
            home: Handle::current(),
            lines: RwLock::new(Lines { first, further: Vec::new() }),
            renewing: tokio::sync::Mutex::new(()),
            making: tokio::sync::Mutex::default(),
            replaced: Notify::new(),
        })
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let mut line = self.line().await;
        let answer = command.query_async(&mut line.connection).await;
        if let Err(error) = &answer
            && is_lost(error)
        {
            // A server that answers, but not as a master, may be all there is for now: to connect to it at every call
            // would only burden it.
            let is_hopeless = !error.is_io_error() && line.since.elapsed() < BETWEEN_RENEWALS;
            if !is_hopeless {
                self.renew(line.attempt).await;
            }
        }
        answer
    }

    /// Resolves when another connection was made because the server was lost.
    pub(super) async fn replaced(&self) {
        self.replaced.notified().await;
    }

    /// The connection for a call of this runtime.
    async fn line(&self) -> Line {
        let (home, here) = (self.home.id(), Handle::current().id());
        let (known, first) = self.read(|lines| (lines.of(home, here).cloned(), lines.first.clone()));
        if let Some(known) = known {
            return known;
        }
        let Ok(mut failed) = self.making.try_lock() else { return first };
        if failed.is_some_and(|failed| failed.elapsed() < BETWEEN_FURTHER) {
            return first;
        }
        let connection = match find(&self.place).await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(category = error.category(), "no further connection to Redis can be made");
                *failed = Some(this_moment());
                return first;
            }
        };
        self.write(|lines| {
            // Another call of this runtime may have been faster; and while the server was lost and looked for, this one
            // may have found the old one.
            if lines.of(home, here).is_none() && lines.first.attempt == first.attempt {
                lines.further.push((here, Line { connection, since: this_moment(), attempt: first.attempt }));
            }
            lines.of(home, here).unwrap_or(&lines.first).clone()
        })
    }

    /// Looks for the server once, unless another call did since `attempt`. If there is none now, the next call looks
    /// again: until then the old connections stay, which may have been slow and not lost.
    async fn renew(&self, attempt: u64) {
        let _renewing = self.renewing.lock().await;
        if self.read(|lines| lines.first.attempt) != attempt {
            return;
        }
        let found = self.find_at_home().await;
        self.write(|lines| {
            for line in std::iter::once(&mut lines.first).chain(lines.further.iter_mut().map(|(_, line)| line)) {
                line.attempt += 1;
                line.since = this_moment();
            }
            if let Ok(connection) = &found {
                lines.first.connection = connection.clone();
                lines.further.clear();
            }
        });
        match found {
            Ok(_) => {
                tracing::info!("connected to Redis anew");
                self.replaced.notify_one();
            }
            Err(error) => tracing::debug!(category = error.category(), "Redis cannot be connected to anew"),
        }
    }

    /// A connection that is served at home, whichever runtime's call looks for it: a thread that answers requests ends
    /// before the work under way does, and would take the first connection with it.
    async fn find_at_home(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut finding = Box::pin(find(&self.place));
        poll_fn(|context| {
            let _home = self.home.enter();
            finding.as_mut().poll(context)
        })
        .await
    }

    fn read<T>(&self, what: impl FnOnce(&Lines) -> T) -> T {
        what(&self.lines.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, what: impl FnOnce(&mut Lines) -> T) -> T {
        what(&mut self.lines.write().unwrap_or_else(PoisonError::into_inner))
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
