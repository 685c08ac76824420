//! The rooms that the handlers ask, as each worker thread has them.

use super::{limit::Limits, operator::Operators, probes::Probes};
use crate::{
    authorization::Authorization, clock::SharedClock, connections::Connections, leads::Leads, lifecycle::Lifecycle,
    operate::Operate, store::Store,
};

/// What the handlers work with. Each worker thread gets clones, as `web::Data`.
#[derive(Clone)]
pub struct Services {
    /// Running or stopping.
    pub lifecycle: Lifecycle,
    /// The store's clock where it has one.
    pub clock: Clock,
    /// For the probes and the gauges.
    pub store: Store,
    /// Authorizes Attio's app.
    pub authorization: Authorization,
    /// The workspaces.
    pub connections: Connections,
    /// The leads.
    pub leads: Leads,
    /// What operators read and mend.
    pub operate: Operate,
    /// Which callers are operators.
    pub operators: Operators,
    /// The workspaces' shares of requests.
    pub limits: Limits,
    /// What the probes know.
    pub probes: Probes,
}

/// The clock as `web::Data` carries it.
#[derive(Clone)]
pub struct Clock(pub SharedClock);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
