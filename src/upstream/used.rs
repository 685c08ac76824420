//! Which connections have answered before: what tells a pooled connection from a fresh one when a request dies on it.
//!
//! The HTTP client does not tell on which of the two a request went out, but both an answer and an error name the ends
//! of their connection. (A layer around its connector would know too, and is copied three times for each request.)
//! Promises that memory is bounded. What is forgotten for that counts as fresh: its request is not sent again.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::http::Extensions;
use hyper_util::client::legacy::connect::{Connected, HttpInfo};
use tokio::time::Instant;

/// So many connections are remembered at most.
const MOST: usize = 4_096;

/// Our end and the peer's.
type Ends = (SocketAddr, SocketAddr);

/// The connections, and when each last answered.
#[derive(Default)]
pub(super) struct Used(Mutex<HashMap<Ends, Instant>>);

impl Used {
    fn connections(&self) -> MutexGuard<'_, HashMap<Ends, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer came, of which these are the extensions. A connection that has been silent for `idle` is not used
    /// again.
    pub(super) fn answered(&self, extensions: &Extensions, now: Instant, idle: Duration) {
        let Some(ends) = ends(extensions) else { return };
        let mut connections = self.connections();
        if connections.len() >= MOST && !connections.contains_key(&ends) {
            connections.retain(|_, last| now < *last + idle);
            if connections.len() >= MOST {
                connections.clear();
            }
        }
        connections.insert(ends, now);
    }

    /// Whether this connection has answered before, less than `idle` ago. It has failed now, and never will again: its
    /// end of the machine may come to name another one.
    pub(super) fn was_pooled(&self, connection: &Connected, now: Instant, idle: Duration) -> bool {
        let mut extensions = Extensions::new();
        connection.get_extras(&mut extensions);
        let last = ends(&extensions).and_then(|ends| self.connections().remove(&ends));
        last.is_some_and(|last| now < last + idle)
    }
}

fn ends(extensions: &Extensions) -> Option<Ends> {
    extensions.get::<HttpInfo>().map(|info| (info.local_addr(), info.remote_addr()))
}
