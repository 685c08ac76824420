//! Log lines that a stranger can cause, and that must not fill the log.
//!
//! Promises that one kind of them is written at most [`AT_ONCE`] times at once and then once every [`EVERY`], and that
//! what was left out is counted: the next line says how many there were.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

/// Enough to see what is going on.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// From then on: at most some nine thousand lines a day.
const EVERY: Duration = Duration::from_secs(10);

/// How often one kind of line may still be written.
pub struct Sparing<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    left_out: AtomicU64,
}

impl Sparing {
    /// For one kind of line; one for each process, so a `static`.
    pub fn new() -> Self {
        Self::by(DefaultClock::default())
    }
}

impl Default for Sparing {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clock> Sparing<C> {
    fn by(clock: C) -> Self {
        // A quota without a period would be one that never refills.
        let quota = Quota::with_period(EVERY).unwrap_or(Quota::per_minute(AT_ONCE)).allow_burst(AT_ONCE);
        Self { limiter: RateLimiter::direct_with_clock(quota, clock), left_out: AtomicU64::new(0) }
    }

    /// Whether a line may be written now: then with how many were left out since the last one.
    pub fn turn(&self) -> Option<u64> {
        if self.limiter.check().is_ok() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl<C: Clock> std::fmt::Debug for Sparing<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sparing")
    }
}

/// As `tracing::warn!`, as often as a [`Sparing`] of this place's own lets it.
macro_rules! warn_sparingly {
    ($($line:tt)+) => {{
        static LINES: ::std::sync::LazyLock<$crate::telemetry::Sparing> =
            ::std::sync::LazyLock::new($crate::telemetry::Sparing::new);
        if let Some(left_out) = LINES.turn() {
            ::tracing::warn!(left_out, $($line)+);
        }
    }};
}
pub(crate) use warn_sparingly;

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_flood_of_lines_is_a_few_lines_and_a_number() {
        let clock = FakeRelativeClock::default();
        let sparing = Sparing::by(clock.clone());
        let written = (0..1000).filter(|_| sparing.turn().is_some()).count();
        assert_eq!(written, 20);
        clock.advance(EVERY);
        assert_eq!(sparing.turn(), Some(980), "what was left out is told");
        assert_eq!(sparing.turn(), None);
        clock.advance(EVERY);
        assert_eq!(sparing.turn(), Some(1));
    }
}
