//! The server's clock, so that replicas whose own clocks disagree still agree on leases.
//!
//! Promises that time never goes back within a process: between measurements it is this machine's monotonic clock, and
//! a measurement that would turn it back only holds it until it has been caught up with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use jiff::Timestamp;

use crate::clock::{Clock, Sleep, from_micros, until};

#[derive(Debug, Clone)]
pub(super) struct ServerClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    /// The server's time at `start`, microseconds.
    server_at_start: AtomicI64,
    /// The latest time shown.
    shown: AtomicI64,
    #[cfg(test)]
    ahead: i64,
}

impl ServerClock {
    #[expect(clippy::disallowed_methods, reason = "a clock's implementation: the machine's monotonic clock drives it")]
    pub(super) fn new() -> Self {
        let start = Instant::now();
        let shared = Shared {
            start,
            server_at_start: AtomicI64::new(0),
            shown: AtomicI64::new(i64::MIN),
            #[cfg(test)]
            ahead: 0,
        };
        Self { shared: Arc::new(shared) }
    }

    /// On a machine whose clock is that much ahead.
    #[cfg(test)]
    pub(super) fn ahead(by: std::time::Duration) -> Self {
        let mut clock = Self::new();
        let shared = Arc::get_mut(&mut clock.shared).expect("nobody else has it yet");
        shared.ahead = i64::try_from(by.as_micros()).expect("not that far");
        clock
    }

    /// Microseconds of this machine's monotonic clock, as [`Self::set`] takes them.
    pub(super) fn local(&self) -> i64 {
        let elapsed = i64::try_from(self.shared.start.elapsed().as_micros()).unwrap_or(i64::MAX);
        #[cfg(test)]
        let elapsed = elapsed + self.shared.ahead;
        elapsed
    }

    /// The server showed `server` at some time between `asked` and `answered`.
    pub(super) fn set(&self, server: i64, asked: i64, answered: i64) {
        let middle = asked + (answered - asked) / 2;
        self.shared.server_at_start.store(server - middle, Ordering::Relaxed);
    }
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        let now = self.shared.server_at_start.load(Ordering::Relaxed) + self.local();
        let shown = self.shared.shown.fetch_max(now, Ordering::Relaxed);
        from_micros(now.max(shown))
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        let clock = self.clone();
        Box::pin(async move {
            loop {
                let wait = until(clock.now(), deadline);
                if wait.is_zero() {
                    return;
                }
                tokio::time::sleep(wait).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_never_turns_time_back() {
        let clock = ServerClock::new();
        clock.set(5_000_000_000, 0, 2);
        let before = clock.now();
        assert!(before >= from_micros(4_999_999_999));
        clock.set(1_000_000_000, 0, 2);
        assert!(clock.now() >= before);
        clock.set(9_000_000_000, 0, 2);
        assert!(clock.now() >= from_micros(8_999_999_999));
    }
}
