//! How often strangers may make this process work, all of them together.
//!
//! Owns the limits of failed client authentications and of codes that browsers bring from ALC. Promises that a burst
//! passes, that beyond it one passes each second, and that the one that does not is told how long to wait.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

/// A client that was given a wrong secret tries a few times and must be told what is wrong; a team whose members
/// connect at the same time passes, too.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// And from then on one each second.
const EACH_SECOND: NonZeroU32 = NonZeroU32::MIN;

/// One limit of this process.
pub(super) struct Limit<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

impl Limit {
    pub(super) fn new() -> Self {
        Self::by(DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limit<C> {
    pub(super) fn by(clock: C) -> Self {
        let quota = Quota::per_second(EACH_SECOND).allow_burst(AT_ONCE);
        Self { limiter: RateLimiter::direct_with_clock(quota, clock.clone()), clock }
    }

    /// Takes a turn; if there is none now, says after how many seconds there is one.
    pub(super) fn turn(&self) -> Result<(), u64> {
        self.limiter.check().map_err(|until| {
            let wait: Duration = until.wait_time_from(self.clock.now());
            wait.as_millis().div_ceil(1000).max(1) as u64
        })
    }
}
