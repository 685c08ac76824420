//! What a pretend service is, apart from its wire; and what the wire has at hand to serve it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Faults, Journal, Reply, Request};
use crate::ambient::Time;

/// What a pretend service is, apart from its wire.
pub trait Service: Send + Sync + 'static {
    /// The names of its operations, as faults, holds and the journal use them.
    fn operations(&self) -> &'static [&'static str];

    /// Which operation a request is; `None` for what the service does not have.
    fn operation(&self, request: &Request) -> Option<&'static str>;

    /// Does the work and gives the answer.
    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply>;

    /// Everything that it remembers, for `GET /_sandbox/state`.
    fn state(&self) -> Value;

    /// Its own paths below `/_sandbox/`; `None` for what it does not have.
    fn control<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Option<Reply>>;
}

/// What serves the connections of one service.
pub(super) struct Desk {
    pub(super) service: Arc<dyn Service>,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    pub(super) time: Time,
}
