//! Guesses at the client's secret.
//!
//! Promises that a stranger's guesses are counted, seldom logged and soon answered 429, and that they never lock the
//! client out: whether credentials are right is decided first, in constant time, and only wrong ones are counted. What
//! keeps a guess from hitting is the secret's length (32 characters at least in production); this keeps guessing from
//! being free and unseen. Each process counts for itself.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

use super::OAuthError;
use crate::telemetry::Sparing;

/// A client that was given a wrong secret tries a few times and must be told what is wrong.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// And from then on one each second.
const EACH_SECOND: NonZeroU32 = NonZeroU32::MIN;

/// The failed authentications of this process.
pub(super) struct Guesses<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    lines: Sparing,
    clock: C,
}

impl Guesses {
    pub(super) fn new() -> Self {
        Self::by(DefaultClock::default())
    }
}

impl<C: Clock + Clone> Guesses<C> {
    fn by(clock: C) -> Self {
        let limiter =
            RateLimiter::direct_with_clock(Quota::per_second(EACH_SECOND).allow_burst(AT_ONCE), clock.clone());
        Self { limiter, lines: Sparing::new(), clock }
    }

    /// Counts what came of an authentication; beyond the limit a failure says how long to wait.
    pub(super) fn count(&self, authenticated: Result<(), OAuthError>) -> Result<(), OAuthError> {
        let Err(OAuthError::InvalidClient) = authenticated else { return authenticated };
        metrics::counter!("alc_connector_client_authentications_failed_total").increment(1);
        if let Some(left_out) = self.lines.turn() {
            tracing::warn!(
                left_out,
                "a client authentication failed: compare ATTIO_APP__CLIENT_ID and __CLIENT_SECRET with the connection \
                 in Attio's developer dashboard; if they are equal, a stranger is guessing"
            );
        }
        self.limiter.check().map_err(|until| {
            let wait: Duration = until.wait_time_from(self.clock.now());
            OAuthError::TooManyFailures { seconds: wait.as_millis().div_ceil(1000).max(1) as u64 }
        })?;
        authenticated
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn guesses_are_limited_and_the_client_is_never_locked_out() {
        let clock = FakeRelativeClock::default();
        let guesses = Guesses::by(clock.clone());
        let wrong = || guesses.count(Err(OAuthError::InvalidClient));
        (0..30).for_each(|_| assert_eq!(wrong(), Err(OAuthError::InvalidClient)));
        assert_eq!(wrong(), Err(OAuthError::TooManyFailures { seconds: 1 }));
        assert_eq!(guesses.count(Ok(())), Ok(()), "right credentials pass meanwhile");
        let other = OAuthError::InvalidRequest("a parameter stands more than once");
        assert_eq!(guesses.count(Err(other)), Err(other), "what guesses no secret is not counted");
        clock.advance(Duration::from_secs(1));
        assert_eq!(wrong(), Err(OAuthError::InvalidClient));
        assert_eq!(wrong(), Err(OAuthError::TooManyFailures { seconds: 1 }));
    }
}
