//! Gates: the limiter and breaker before one upstream for one workspace, shared by all replicas.
//!
//! Owns the arithmetic ([`GateState`]: GCRA with burst 1, and a breaker) that the SQLite engine runs as it stands and
//! the Redis engine runs as the same steps in Lua; the conformance suite holds the two together. Promises: never two
//! slots at once; a slot kept is honoured ahead of new ones; after a pause no request goes early; an open gate lets one
//! probe through at a time.

mod state;
#[cfg(test)]
mod tests;
mod verdict;

pub use self::{
    state::{FAILURES_TO_OPEN, FIRST_COOL_DOWN, GateState, LONGEST_COOL_DOWN, PROBE_PATIENCE, SLOT_TOLERANCE},
    verdict::{Gate, GateReport, GateView, Gates, Reserved, SHARE_OF_LIMIT, Verdict},
};
