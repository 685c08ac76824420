//! The one server that has everything: the one at an address, or the master that Sentinel names.
//!
//! The `redis` crate's own manager keeps a connection that is merely silent, keeps a refused reconnection for ever, and
//! dials the master that it was told of once. This makes a new connection whenever a call says that the server is lost,
//! and swaps it; the next call goes over the new one.
//! Each thread that answers requests has a runtime of its own, and a call over a connection that another runtime serves
//! wakes two threads: so the first few runtimes have connections of their own. Promises that these lead where the first
//! one leads, so that a process never writes to two servers, and that all are left when a call over any of them says
//! that the server is no master any more.

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

use super::{
    address::Watched,
    dial::{connect, told},
    failure::is_lost,
    sentinel,
};

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
    /// began at one that has not been made.
    making: tokio::sync::Mutex<Option<Instant>>,
    replaced: Notify,
}

struct Lines {
    first: MultiplexedConnection,
    /// When that was made, or the last attempt at a better one.
    since: Instant,
    /// How many attempts to find the server there were: a call that waited for one makes none of its own.
    attempt: u64,
    further: Vec<Further>,
    /// How many further ones were ever made.
    made: u64,
}

struct Further {
    number: u64,
    serves: runtime::Id,
    connection: MultiplexedConnection,
}

/// What a call goes over, and what was known when it began.
struct Line {
    connection: MultiplexedConnection,
    since: Instant,
    attempt: u64,
    /// Of a further one.
    number: Option<u64>,
}

impl Lines {
    fn over(&self, connection: &MultiplexedConnection, number: Option<u64>) -> Line {
        Line { connection: connection.clone(), since: self.since, attempt: self.attempt, number }
    }

    fn first(&self) -> Line {
        self.over(&self.first, None)
    }

    /// The one for calls of this runtime; `None`: one is to be made.
    fn of(&self, home: runtime::Id, here: runtime::Id) -> Option<Line> {
        let own = self.further.iter().find(|further| further.serves == here);
        let own = own.map(|own| self.over(&own.connection, Some(own.number)));
        own.or_else(|| (here == home || self.further.len() + 1 >= MOST).then(|| self.first()))
    }
}

impl Server {
    pub(super) async fn open(place: Place) -> Result<Self, RedisError> {
        let first = find(&place).await?;
        Ok(Self {
            place,
            home: Handle::current(),
            lines: RwLock::new(Lines { first, since: this_moment(), attempt: 0, further: Vec::new(), made: 0 }),
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
            match line.number {
                // Servers close what was idle for long, as only these are. Whether the server is there, the next call
                // finds out.
                Some(number) if error.is_io_error() => {
                    self.write(|lines| lines.further.retain(|further| further.number != number));
                }
                _ if is_hopeless => {}
                _ => self.renew(line.attempt).await,
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
        if let Some(known) = self.read(|lines| lines.of(home, here)) {
            return known;
        }
        let first = || self.read(Lines::first);
        let Ok(mut unmade) = self.making.try_lock() else { return first() };
        if unmade.is_some_and(|began| began.elapsed() < BETWEEN_FURTHER) {
            return first();
        }
        // Before the attempt, since its call may be given up in the middle of it.
        *unmade = Some(this_moment());
        let Line { connection: to_first, attempt, .. } = first();
        // A name may lead elsewhere by now, while the old server still takes writes.
        let own = match run_id(to_first).await {
            Err(error) if is_lost(&error) => {
                // The call that goes over it finds that out as well, and looks for the server.
                *unmade = None;
                return first();
            }
            told => told.ok().flatten(),
        };
        let connection = match find(&self.place).await {
            Ok(connection) if own.is_some() && run_id(connection.clone()).await.ok().flatten() == own => connection,
            Ok(_) => return first(),
            Err(error) => {
                tracing::debug!(category = error.category(), "no further connection to Redis can be made");
                return first();
            }
        };
        *unmade = None;
        self.write(|lines| {
            // While the server was lost and looked for, this may have found the old one.
            if lines.of(home, here).is_none() && lines.attempt == attempt {
                lines.made += 1;
                lines.further.push(Further { number: lines.made, serves: here, connection });
            }
            lines.of(home, here).unwrap_or_else(|| lines.first())
        })
    }

    /// Looks for the server once, unless another call did since `attempt`. If there is none now, the next call looks
    /// again: until then the first connection stays, which may have been slow and not lost.
    async fn renew(&self, attempt: u64) {
        let _renewing = self.renewing.lock().await;
        if self.read(|lines| lines.attempt) != attempt {
            return;
        }
        let found = self.find_at_home().await;
        self.write(|lines| {
            lines.attempt += 1;
            lines.since = this_moment();
            lines.further.clear();
            if let Ok(connection) = &found {
                lines.first = connection.clone();
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

/// What tells this server from every other; `None`: it does not say.
async fn run_id(mut connection: MultiplexedConnection) -> Result<Option<String>, RedisError> {
    let mut info = redis::cmd("INFO");
    info.arg("server");
    Ok(told(&info.query_async(&mut connection).await?, "run_id:").pop().flatten())
}

async fn find(place: &Place) -> Result<MultiplexedConnection, RedisError> {
    match place {
        Place::At(info) => connect(info.clone()).await,
        Place::Watched(watched) => sentinel::master(watched).await,
    }
}
