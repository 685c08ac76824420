//! Which connections have answered before: what tells a pooled connection from a fresh one when a request dies on it.
//!
//! The HTTP client does not tell on which of the two a request went out, but both an answer and an error name the ends
//! of their connection. (A layer around its connector would know too, and is copied three times for each request.)
//! Promises that memory is bounded. What is forgotten for that counts as fresh, and so does a connection that was made
//! for one request and then was not needed, up to its first answer: a request that dies on it is not sent again.

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

/// When a connection first answered, and when last.
#[derive(Clone, Copy)]
struct Answers {
    first: Instant,
    last: Instant,
}

/// The connections.
#[derive(Default)]
pub(super) struct Used(Mutex<HashMap<Ends, Answers>>);

impl Used {
    fn connections(&self) -> MutexGuard<'_, HashMap<Ends, Answers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer came, of which these are the extensions. A connection that has been silent for `idle` is not used
    /// again.
    pub(super) fn answered(&self, extensions: &Extensions, now: Instant, idle: Duration) {
        let Some(ends) = ends(extensions) else { return };
        let mut connections = self.connections();
        if connections.len() >= MOST && !connections.contains_key(&ends) {
            connections.retain(|_, answers| now < answers.last + idle);
            if connections.len() >= MOST {
                connections.clear();
            }
        }
        connections.entry(ends).or_insert(Answers { first: now, last: now }).last = now;
    }

    /// Whether this connection, which has failed, had answered before a request `began`, less than `idle` before. One
    /// that is shared (HTTP/2) may also have answered another request since then; and it fails all of them.
    pub(super) fn was_pooled(&self, connection: &Connected, began: Instant, idle: Duration) -> bool {
        let mut extensions = Extensions::new();
        connection.get_extras(&mut extensions);
        let Some(ends) = ends(&extensions) else { return false };
        let answers = if connection.is_negotiated_h2() {
            self.connections().get(&ends).copied()
        } else {
            // Its ends may come to name another one.
            self.connections().remove(&ends)
        };
        answers.is_some_and(|answers| answers.first <= began && began < answers.last + idle)
    }
}

fn ends(extensions: &Extensions) -> Option<Ends> {
    extensions.get::<HttpInfo>().map(|info| (info.local_addr(), info.remote_addr()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hyper_util::client::legacy::connect::Connection as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::{super::http::now, *};

    const IDLE: Duration = Duration::from_secs(45);
    const SECOND: Duration = Duration::from_secs(1);

    async fn connection() -> (TcpListener, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        (listener, stream)
    }

    fn answered(used: &Used, stream: &TcpStream, at: Instant) {
        let mut extensions = Extensions::new();
        stream.connected().get_extras(&mut extensions);
        used.answered(&extensions, at, IDLE);
    }

    #[tokio::test]
    async fn one_that_has_answered_lately_was_pooled_and_a_fresh_one_was_not() {
        let (used, began) = (Used::default(), now());
        let ((_listening, stream), (_also, other)) = (connection().await, connection().await);
        let fails = |stream: &TcpStream, at| used.was_pooled(&stream.connected(), at, IDLE);
        assert!(!fails(&stream, began), "fresh");
        answered(&used, &stream, began);
        assert!(!fails(&other, began + SECOND), "another one");
        assert!(fails(&stream, began + SECOND));
        assert!(!fails(&stream, began + SECOND), "these ends may name another connection by now");
        answered(&used, &stream, began);
        assert!(!fails(&stream, began + IDLE), "so old a one is not used again");
    }

    #[tokio::test]
    async fn a_shared_one_fails_all_its_requests_and_was_pooled_for_those_that_did_not_open_it() {
        let (used, began) = (Used::default(), now());
        let (_listening, stream) = connection().await;
        let fails = |at| used.was_pooled(&stream.connected().negotiated_h2(), at, IDLE);
        answered(&used, &stream, began + SECOND);
        answered(&used, &stream, began + SECOND * 3);
        assert!(!fails(began), "it was opened for this one, and has answered others since then");
        assert!(fails(began + SECOND * 2), "busy with others meanwhile");
        assert!(fails(began + SECOND * 4) && fails(began + SECOND * 4), "each of those under way");
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let (used, began) = (Used::default(), now());
        let ends = |port: usize| {
            let at = |port: usize| SocketAddr::from((Ipv4Addr::from(u32::try_from(port).expect("small")), 1));
            (at(port), at(port + 1))
        };
        for port in 0..MOST {
            used.connections().insert(ends(port), Answers { first: began, last: began });
        }
        let (_listening, stream) = connection().await;
        answered(&used, &stream, began + IDLE / 2);
        assert!(used.connections().len() <= MOST);
        assert!(used.was_pooled(&stream.connected(), began + IDLE / 2, IDLE));
    }
}
