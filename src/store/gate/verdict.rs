//! What a gate is asked and told, and what it answers.

use std::time::Duration;

use jiff::Timestamp;

/// How much of the upstream's limit is used: the rest absorbs the jitter of the network.
pub const SHARE_OF_LIMIT: f64 = 0.96;

/// The gates of a workspace. Made once, so that all rooms that go to one upstream agree on its gate and its pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gates {
    /// Before ALC.
    pub alc: Gate,
    /// Before Attio.
    pub attio: Gate,
    /// Before the workflows that want to know when a send has finished.
    pub workflows: Gate,
}

impl Gates {
    /// Attio's is paced by its limit; the others only break.
    pub fn new(attio_writes_per_second: u32) -> Self {
        Self {
            alc: Gate { upstream: "alc", per_second: None, ahead: false },
            attio: Gate { upstream: "attio", per_second: Some(attio_writes_per_second), ahead: false },
            workflows: Gate { upstream: "workflow", per_second: None, ahead: false },
        }
    }
}

/// A gate of a tenant: which upstream, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// `alc`, `attio` or `workflow`.
    pub upstream: &'static str,
    /// The upstream's limit in requests per second; `None`: the gate only breaks and never paces.
    pub per_second: Option<u32>,
    /// The request goes before all that are not ahead, also before those that have a slot. For what a person waits for,
    /// and for little else: as long as such requests come at the gate's pace, no other goes.
    pub ahead: bool,
}

impl Gate {
    /// The same gate for a request that goes ahead.
    #[must_use]
    pub fn ahead(self) -> Self {
        Self { ahead: true, ..self }
    }

    /// The time between two slots; `None`: the gate does not pace.
    pub fn interval(self) -> Option<Duration> {
        self.per_second.map(|rate| Duration::from_secs_f64(1.0 / (f64::from(rate.max(1)) * SHARE_OF_LIMIT)))
    }
}

/// Whether to go. [`Verdict::Go`] is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Now.
    Go,
    /// Not before then. A paced slot at that time is the caller's if it comes back for it.
    At(Timestamp),
}

/// What came of going through a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateReport {
    /// The upstream said that it is limiting: no request goes before `until`.
    Limited {
        /// The time that the upstream named.
        until: Timestamp,
    },
    /// The upstream is ailing: no connection, 5xx, a timeout.
    Failed,
    /// The upstream answered. Needs telling only if [`GateView::failures`] is not zero.
    Recovered,
    /// An operator wants requests to go now, whatever the upstream asked for or failed at.
    Opened,
}

/// A gate as [`crate::store::Engine::load`] sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateView {
    /// No request goes before then (pause or cool-down). A cool-down that is over still shows, in the past, until a
    /// probe has been reported: then [`crate::store::Engine::reserve`] decides which request probes.
    pub closed_until: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
}

/// A verdict, and the slot that is from now on kept beside the aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// Whether to go.
    pub verdict: Verdict,
    /// What to keep; `None`: nothing, the slot was used or there never was one.
    pub slot: Option<Timestamp>,
}

impl Gate {
    /// [`Gate::interval`] in microseconds, rounded up.
    pub fn interval_micros(self) -> Option<i64> {
        self.interval().map(|interval| i64::try_from(interval.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX))
    }

    /// How many may leave in any second; `None`: the gate does not pace.
    pub fn most_in_a_second(self) -> Option<usize> {
        self.per_second.map(|rate| rate.max(1) as usize)
    }
}
