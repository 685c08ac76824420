//! When to try again.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::later;

/// `RETRY__SCHEDULE`: the wait after each failure in a row; the last one repeats.
#[derive(Debug, Clone)]
pub struct Schedule(Vec<Duration>);

impl Schedule {
    /// A schedule of at least one step; an empty one waits a minute each time.
    pub fn new(steps: Vec<Duration>) -> Self {
        if steps.is_empty() { Self(vec![Duration::from_secs(60)]) } else { Self(steps) }
    }

    /// When to try again after `failures` failures in a row, this one not counted.
    ///
    /// `jitter` in `0.0..1.0` stretches the wait by up to a fifth, so that what failed together does not come back
    /// together. Never before `asked`, the time that the upstream named: the jitter only ever adds.
    pub fn next(&self, failures: u32, jitter: f64, asked: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let index = usize::try_from(failures).unwrap_or(usize::MAX).min(self.0.len() - 1);
        let stretched = |wait: Duration| wait.mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0));
        let own = later(now, stretched(self.0[index]));
        match asked {
            Some(asked) if asked > own => {
                later(asked, stretched(Duration::from_millis(500)) - Duration::from_millis(500))
            }
            _ => own,
        }
    }

    /// The same, but no wait is longer than `limit`.
    pub fn at_most(&self, limit: Duration) -> Self {
        Self(self.0.iter().map(|wait| (*wait).min(limit)).collect())
    }

    /// The slowest pace: for what is refused until a person acts.
    pub fn slowest(&self, jitter: f64, now: Timestamp) -> Timestamp {
        self.next(u32::MAX, jitter, None, now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{from_micros, until};

    proptest! {
        #[test]
        fn never_before_what_was_asked_and_never_before_the_schedule(
            steps in prop::collection::vec(0u64..10_000, 0..8),
            failures in 0u32..20,
            jitter in 0.0f64..1.0,
            asked in prop::option::of(0i64..100_000_000_000),
        ) {
            let now = from_micros(1_000_000_000);
            let steps: Vec<_> = steps.into_iter().map(Duration::from_millis).collect();
            let asked = asked.map(from_micros);
            let next = Schedule::new(steps.clone()).next(failures, jitter, asked, now);
            let own = steps.get(failures as usize).or(steps.last()).copied().unwrap_or(Duration::from_secs(60));
            prop_assert!(next >= crate::clock::later(now, own) || asked.is_some_and(|asked| next >= asked));
            prop_assert!(asked.is_none_or(|asked| next >= asked));
            let bound = own.mul_f64(1.2).max(asked.map_or(Duration::ZERO, |asked| until(now, asked) + Duration::from_millis(100)));
            prop_assert!(until(now, next) <= bound + Duration::from_micros(1));
        }
    }
}
