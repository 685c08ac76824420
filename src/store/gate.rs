//! Gates: the limiter and breaker before one upstream for one workspace, shared by all replicas.
//!
//! Owns the arithmetic ([`GateState`]: GCRA with burst 1, and a breaker) that the SQLite engine runs as it stands and
//! the Redis engine runs as the same steps in Lua; the conformance suite holds the two together. Promises: never two
//! slots at once; a slot kept is honoured ahead of new ones; after a pause nobody goes early; an open gate lets one
//! probe through at a time.

use std::time::Duration;

use jiff::Timestamp;

/// Consecutive failures that open a gate.
pub const FAILURES_TO_OPEN: u32 = 5;
/// The first cool-down of an open gate; doubled by each failed probe.
pub const FIRST_COOL_DOWN: Duration = Duration::from_secs(5);
/// The longest cool-down.
pub const LONGEST_COOL_DOWN: Duration = Duration::from_secs(300);
/// How long a probe may go unreported before another is let through.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(30);
/// How late a kept slot may be used.
pub const SLOT_TOLERANCE: Duration = Duration::from_secs(1);
/// How much of the upstream's limit is used: the rest absorbs the jitter of the network.
pub const SHARE_OF_LIMIT: f64 = 0.96;

/// A gate of a tenant: which upstream, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// `alc` or `attio`.
    pub upstream: &'static str,
    /// The upstream's limit in requests per second; `None`: the gate only breaks and never paces.
    pub per_second: Option<u32>,
}

impl Gate {
    /// The time between two slots; `None`: the gate does not pace.
    pub fn interval(&self) -> Option<Duration> {
        self.per_second.map(|rate| Duration::from_secs_f64(1.0 / (f64::from(rate.max(1)) * SHARE_OF_LIMIT)))
    }
}

/// Whether to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Now.
    Go,
    /// Not before then. A paced slot at that time is the caller's if it comes back for it.
    At(Timestamp),
}

/// What came of going through a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateReport {
    /// The upstream said that it is limiting: nobody goes before `until`.
    Limited {
        /// The time that the upstream named.
        until: Timestamp,
    },
    /// The upstream is ailing: no connection, 5xx, a timeout.
    Failed,
    /// The upstream answered. Needs telling only if [`GateView::failures`] is not zero.
    Recovered,
}

/// A gate as [`super::Engine::load`] sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateView {
    /// Nobody goes before then (pause or cool-down). A cool-down that is over still shows, in the past, until a probe
    /// has been reported: then [`super::Engine::reserve`] decides who probes.
    pub closed_until: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
}
