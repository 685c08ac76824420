//! Guesses at the client's secret.
//!
//! Promises that a stranger's guesses are counted, seldom logged and soon answered 429, and that they never lock the
//! client out: whether credentials are right is decided first, in constant time, and only wrong ones are counted. What
//! keeps a guess from hitting is the secret's length (32 characters at least in production); this keeps guessing from
//! being free and unseen. Each process counts for itself.

use governor::clock::{Clock, DefaultClock};

use super::{OAuthError, limit::Limit};
use crate::telemetry::Sparing;

/// The failed authentications of this process.
pub(super) struct Guesses<C: Clock = DefaultClock> {
    limit: Limit<C>,
    lines: Sparing,
}

impl Guesses {
    pub(super) fn new() -> Self {
        Self::by(DefaultClock::default())
    }
}

impl<C: Clock + Clone> Guesses<C> {
    fn by(clock: C) -> Self {
        Self { limit: Limit::by(clock), lines: Sparing::new() }
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
        self.limit.turn().map_err(|seconds| OAuthError::TooManyFailures { seconds })?;
        authenticated
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
