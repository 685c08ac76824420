//! The two listeners: bound, and served by whatever routes.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::{HttpServer, dev::Server, middleware::from_fn, web::ServiceConfig};

use super::error::BuildError;
use crate::{config::Config, http};

/// How long the head of a request may take.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long requests under way may take to finish. What they have begun goes on in tasks of its own.
const REQUESTS_LIMIT: Duration = Duration::from_secs(24);

/// How long the listeners wait for what comes over a connection, and for the end of what comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) keep_alive: Duration,
    pub(super) drain_delay: Duration,
}

/// A listener with its address.
pub(super) struct Bound {
    pub(super) listener: TcpListener,
    pub(super) addr: SocketAddr,
}

/// Both.
pub(super) struct Listeners {
    pub(super) public: Bound,
    pub(super) management: Bound,
}

impl Listeners {
    pub(super) fn bind(config: &Config) -> Result<Self, BuildError> {
        Ok(Self {
            public: bind("ALC_CONNECTOR__HTTP__BIND", config.http.bind)?,
            management: bind("ALC_CONNECTOR__MANAGEMENT__BIND", config.management.bind)?,
        })
    }
}

fn bind(variable: &'static str, addr: SocketAddr) -> Result<Bound, BuildError> {
    let bound = TcpListener::bind(addr).and_then(|listener| Ok(Bound { addr: listener.local_addr()?, listener }));
    bound.map_err(|source| BuildError::Bind { variable, source })
}

pub(super) fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).max(2)
}

/// Serves `routes`, by so many workers with so many connections each.
pub(super) fn listen(
    listener: TcpListener,
    (workers, connections_each): (usize, usize),
    patience: Patience,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let server =
        HttpServer::new(move || actix_web::App::new().wrap(from_fn(http::request::track)).configure(routes.clone()));
    let server = server
        .workers(workers)
        .max_connections(connections_each)
        .disable_signals()
        .keep_alive(patience.keep_alive)
        // A caller that closes its end has hung up. Otherwise its handler would go on, and tell a refusal to a caller
        // that is gone.
        .h1_allow_half_closed(false)
        .client_request_timeout(HEAD_LIMIT)
        .client_disconnect_timeout(Duration::from_secs(5))
        .shutdown_timeout((REQUESTS_LIMIT - patience.drain_delay).as_secs())
        .listen(listener)?;
    Ok(server.run())
}
