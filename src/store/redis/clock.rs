//! The server's clock, so that replicas whose own clocks disagree still agree on leases.
//!
//! Promises that time never goes back within a process: between measurements it is this machine's monotonic clock, and
//! after a measurement that would turn it back it goes at half its speed until it has been caught up with.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::clock::{Clock, Sleep, from_micros, sleep_by};

/// A measurement says the time to within half of its round trip: one that took longer than this is worth less than the
/// one before.
const LONGEST_ROUND_TRIP: i64 = 200_000;
/// But not for ever: machines' clocks drift apart.
const KEPT_AT_MOST: i64 = 300_000_000;
/// Servers whose clocks are kept right do not move by so much.
const WORTH_A_WARNING: u64 = 1_000_000;

#[derive(Debug, Clone)]
pub(super) struct ServerClock {
    start: Instant,
    state: Arc<Mutex<State>>,
    #[cfg(test)]
    ahead: i64,
}

/// Times of this machine are microseconds since the clock's start.
#[derive(Debug, Default)]
struct State {
    measured: Option<Measured>,
    /// The latest time shown.
    shown: Option<i64>,
    /// Since the server's clock went back, and until it has caught up: when that was here, and what was shown then.
    slowed: Option<(i64, i64)>,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    /// The server's time at this clock's start.
    offset: i64,
    /// When it was measured, here.
    at: i64,
}

impl State {
    fn show(&mut self, local: i64) -> i64 {
        let mut now = self.measured.map_or(0, |measured| measured.offset) + local;
        if let Some((since, shown)) = self.slowed {
            let slow = shown + (local - since) / 2;
            if now >= slow {
                self.slowed = None;
            }
            now = now.max(slow);
        }
        // Another thread may have read this machine's clock before, and asks after.
        let now = self.shown.map_or(now, |shown| now.max(shown));
        self.shown = Some(now);
        now
    }

    fn set(&mut self, server: i64, asked: i64, answered: i64) {
        let new = Measured { offset: server - (asked + (answered - asked) / 2), at: answered };
        if let Some(old) = self.measured {
            if answered - asked > LONGEST_ROUND_TRIP && answered - old.at < KEPT_AT_MOST {
                return;
            }
            let moved = new.offset - old.offset;
            if moved.unsigned_abs() > WORTH_A_WARNING {
                tracing::warn!(moved_by_ms = moved / 1_000, "the store's clock moved beside this machine's");
            }
            let shown = self.show(answered);
            self.slowed = (new.offset + answered < shown).then_some((answered, shown));
        }
        self.measured = Some(new);
    }
}

impl ServerClock {
    #[expect(clippy::disallowed_methods, reason = "a clock's implementation: the machine's monotonic clock drives it")]
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            state: Arc::default(),
            #[cfg(test)]
            ahead: 0,
        }
    }

    /// On a machine whose clock is that much ahead.
    #[cfg(test)]
    pub(super) fn ahead(by: std::time::Duration) -> Self {
        Self { ahead: i64::try_from(by.as_micros()).expect("not that far"), ..Self::new() }
    }

    /// Microseconds of this machine's monotonic clock, as [`Self::set`] takes them.
    pub(super) fn local(&self) -> i64 {
        let elapsed = i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX);
        #[cfg(test)]
        let elapsed = elapsed + self.ahead;
        elapsed
    }

    /// The server showed `server` at some time between `asked` and `answered`.
    pub(super) fn set(&self, server: i64, asked: i64, answered: i64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).set(server, asked, answered);
    }
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        from_micros(self.state.lock().unwrap_or_else(PoisonError::into_inner).show(self.local()))
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        Box::pin(sleep_by(self.clone(), deadline, Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::until;

    const SECOND: i64 = 1_000_000;

    /// A clock that was told the server's time at its start.
    fn told(server: i64) -> State {
        let mut state = State::default();
        state.set(server, 0, 0);
        state
    }

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

    #[test]
    fn a_server_clock_that_steps_back_slows_time_and_does_not_stop_it() {
        let clock = ServerClock::new();
        clock.set(3_600_000_000, 0, 2);
        let before = clock.now();
        clock.set(1_000_000_000, 0, 2);
        std::thread::sleep(Duration::from_millis(40));
        assert!(until(before, clock.now()) >= Duration::from_millis(20));
    }

    #[test]
    fn half_speed_lasts_until_the_server_has_caught_up() {
        let mut state = told(1_000 * SECOND);
        assert_eq!(state.show(10 * SECOND), 1_010 * SECOND);
        // Six seconds back, which are made up for in twelve; a measurement in between changes nothing.
        state.set(1_004 * SECOND, 10 * SECOND, 10 * SECOND);
        assert_eq!(state.show(14 * SECOND), 1_012 * SECOND);
        state.set(1_010 * SECOND, 16 * SECOND, 16 * SECOND);
        assert_eq!(state.show(16 * SECOND), 1_013 * SECOND);
        assert_eq!(state.show(22 * SECOND), 1_016 * SECOND);
        assert_eq!(state.show(23 * SECOND), 1_017 * SECOND);
        assert_eq!(state.slowed, None);
    }

    #[test]
    fn a_slow_answer_counts_only_when_there_is_no_better() {
        let mut state = told(1_000 * SECOND);
        state.set(2_000 * SECOND, SECOND, SECOND + 200_001);
        assert_eq!(state.show(2 * SECOND), 1_002 * SECOND);
        state.set(2_000 * SECOND, 400 * SECOND, 401 * SECOND);
        assert_eq!(state.show(401 * SECOND), 2_000 * SECOND + SECOND / 2);
    }
}
