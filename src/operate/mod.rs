//! What operators ask of a running service, over all workspaces: leads, dead letters, connections, gates,
//! full syncs.
//!
//! Owns the lists that go from workspace to workspace, and the audit line of whatever is changed. The HTTP
//! endpoints, and through them the commands, go through these functions, so that none can do what another may not.
//! Promises that no list costs more than a bounded part of the store at a time, that nothing personal is in any answer,
//! and that each change is logged with the operator that asked for it.

mod audit;
mod connections;
mod dead_letters;
mod gates;
mod leads;
mod overview;
mod pages;
mod syncs;
mod turns;

use crate::{
    clock::{SharedClock, Timestamp},
    connections::Connections,
    leads::Leads,
    store::{Store, gate::Gates},
};

pub use self::{
    audit::By,
    connections::{ConnectionsPage, Repaired},
    dead_letters::{LetterFilter, LettersPage, Replay, ReplayDone, ReplayOutcome, ReplaySummary},
    gates::{GateLine, GatesOpened, GatesPage, OpenGates},
    leads::{LeadFilter, LeadsPage, Retried, RetriedMany, Retry, RetryMany, Stories},
    overview::{Glance, Overview, Trouble, Waiting},
    pages::{BadPlace, Place},
    syncs::{SyncsBegun, SyncsPage},
};

/// What the service works with.
#[derive(Clone)]
pub struct Operate {
    store: Store,
    connections: Connections,
    leads: Leads,
    gates: Gates,
    clock: SharedClock,
    turns: turns::Turns,
}

impl Operate {
    /// The service over its parts.
    pub fn new(store: Store, connections: Connections, leads: Leads, gates: Gates, clock: SharedClock) -> Self {
        Self { store, connections, leads, gates, clock, turns: turns::Turns::default() }
    }

    /// The time that its answers are of.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
