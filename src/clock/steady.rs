//! The machine's clock for a store that has none of its own, so that leases last as long as they were given.
//!
//! Promises that time goes on evenly whatever is done to the wall clock: it never goes back, goes at most by a
//! sixteenth faster than the machine's own counting while the wall clock is ahead, and at half that speed while it is
//! behind. A lease that is good for a request outlasts it all the same. While the machine was suspended the counting
//! went on, so that a lease from before has run out.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::time::{ClockId, clock_gettime};

use super::{Clock, Sleep, Timestamp, from_micros, sleep_by, truncated};

/// Counts on while the machine is suspended, where there is such a clock.
#[cfg(any(target_os = "linux", target_os = "android"))]
const COUNTING: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const COUNTING: ClockId = ClockId::Monotonic;

/// A wall clock that is put ahead by more was never right, as that of a machine that has just started: to catch up with
/// it would take weeks.
const BELIEVED_AT_ONCE: i64 = 24 * 3_600 * 1_000_000;
/// A request needs thirteen seconds of lease at most, a second more than it may take: at this rate they are twelve.
const CATCHES_UP: i64 = 16;
const SLOWS_DOWN: i64 = 2;
/// After a change of the wall clock, or of how fast it is caught up with, a sleeper would wake too late.
const LONGEST_SLEEP: std::time::Duration = std::time::Duration::from_secs(1);

/// Reads a wall clock.
type Wall = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct SteadyClock {
    wall: Wall,
    shown: Arc<Mutex<Steady>>,
}

impl fmt::Debug for SteadyClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SteadyClock")
    }
}

/// Times are microseconds.
#[derive(Debug, Clone, Copy)]
struct Steady {
    /// The latest time shown.
    shown: i64,
    /// What the machine had counted then.
    counted: i64,
}

impl Steady {
    /// The time when the machine has counted so far and its wall clock shows that.
    fn look(&mut self, counted: i64, wall: i64) -> i64 {
        let passed = (counted - self.counted).max(0);
        self.counted += passed;
        self.shown += passed;
        let ahead = wall.saturating_sub(self.shown);
        self.shown +=
            if ahead > BELIEVED_AT_ONCE { ahead } else { ahead.clamp(-(passed / SLOWS_DOWN), passed / CATCHES_UP) };
        self.shown
    }
}

impl SteadyClock {
    /// Beside the machine's wall clock.
    #[expect(clippy::disallowed_methods, reason = "a clock's implementation")]
    pub fn new() -> Self {
        Self::beside(Timestamp::now)
    }

    /// Beside this wall clock.
    pub fn beside(wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let shown = Steady { shown: wall().as_microsecond(), counted: counted() };
        Self { wall: Arc::new(wall), shown: Arc::new(Mutex::new(shown)) }
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

fn counted() -> i64 {
    let time = clock_gettime(COUNTING);
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        from_micros(shown.look(counted(), (self.wall)().as_microsecond()))
    }

    fn wall(&self) -> Timestamp {
        truncated((self.wall)())
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        Box::pin(sleep_by(self.clone(), deadline, LONGEST_SLEEP))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::until;

    const SECOND: i64 = 1_000_000;

    fn steady() -> Steady {
        Steady { shown: 1_000_000 * SECOND, counted: 0 }
    }

    /// Looks once a second for so long, at a wall clock that is right but for `off`.
    fn after(clock: &mut Steady, seconds: i64, off: i64) -> i64 {
        let start = clock.counted;
        (1..=seconds).fold(clock.shown, |_, second| {
            let counted = start + second * SECOND;
            clock.look(counted, 1_000_000 * SECOND + counted + off)
        })
    }

    proptest! {
        /// Whatever the wall clock does within a day, a lease that has thirteen seconds left is good for a request of
        /// twelve, and time goes on.
        #[test]
        fn a_lease_outlasts_its_request(looks in prop::collection::vec((0..13 * SECOND, -86_400..86_400i64), 1..50)) {
            let mut clock = steady();
            let (mut counted, mut before) = (0, clock.shown);
            for (passed, off) in looks {
                counted += passed;
                let shown = clock.look(counted, before + passed + off * SECOND);
                let went_on = shown - before;
                prop_assert!(went_on >= passed / 2, "it goes on, and never back");
                prop_assert!(went_on <= passed + passed / 16);
                prop_assert!(went_on < 13 * SECOND || passed > 12 * SECOND);
                before = shown;
            }
        }

        /// A wall clock that stands still as it is, ahead or behind, is caught up with, and then followed.
        #[test]
        fn the_wall_clock_is_caught_up_with(off in -3_600..3_600i64) {
            let mut clock = steady();
            let takes = if off > 0 { off * CATCHES_UP } else { -off * SLOWS_DOWN };
            after(&mut clock, takes + 1, off * SECOND);
            prop_assert_eq!(after(&mut clock, 10, off * SECOND), 1_000_000 * SECOND + clock.counted + off * SECOND);
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_is_not_one_of_time() {
        let mut clock = steady();
        assert_eq!(after(&mut clock, 10, 0), 1_000_010 * SECOND);
        let shown = after(&mut clock, 16, 600 * SECOND);
        assert_eq!(shown, 1_000_027 * SECOND, "a second in sixteen");
        let shown = after(&mut clock, 10, -600 * SECOND);
        assert_eq!(shown, 1_000_032 * SECOND, "half the speed");
    }

    #[test]
    fn a_suspended_machine_wakes_up_in_the_present() {
        let mut clock = steady();
        let hours = 8 * 3_600 * SECOND;
        assert_eq!(clock.look(hours, 1_000_000 * SECOND + hours), 1_000_000 * SECOND + hours);
    }

    #[test]
    fn a_wall_clock_that_was_never_set_is_believed_once_it_is() {
        let mut clock = Steady { shown: 0, counted: 0 };
        let now = 1_700_000_000 * SECOND;
        assert_eq!(clock.look(SECOND, now), now);
    }

    #[tokio::test]
    async fn the_machines_own_clocks_go_together() {
        let clock = SteadyClock::new();
        let before = clock.now();
        clock.sleep_until(super::super::later(before, std::time::Duration::from_millis(20))).await;
        assert!(until(before, clock.now()).as_millis() >= 20);
        assert!(until(clock.now(), clock.wall()).max(until(clock.wall(), clock.now())).as_secs() < 1);
    }
}
