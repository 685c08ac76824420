//! How long a store that does not answer is asked again.

use std::{future::Future, pin::pin, time::Duration};

use super::error::StoreError;

/// The wait before a call without an answer is repeated.
const UNANSWERED_PAUSE: Duration = Duration::from_millis(100);
/// A Redis that is silent is given up after six seconds: a commit is repeated at least once.
const CALLER_WAITS: Duration = Duration::from_secs(10);
/// How long a store that does not answer is pressed to take a fact, before the next holder of the lease has to find
/// out.
const FACT_LASTS: Duration = Duration::from_secs(20);

/// How long a change is tried while the store does not answer, and how often while others keep writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A caller waits for the answer, and asks again after an error. A load that fails is not repeated, since nothing
    /// is lost with it; a commit whose outcome is unknown is, for so long in real time: only its answer says whether
    /// the caller may be told that nothing was stored.
    Caller(Duration),
    /// What an upstream answered, or whatever else cannot be asked for again. Loads are repeated as commits are, and no
    /// number of conflicts ends it.
    Fact,
}

impl Patience {
    /// A caller that names no time of its own.
    pub const CALLER: Self = Self::Caller(CALLER_WAITS);

    pub(super) fn lasts(self) -> Duration {
        match self {
            Self::Caller(waits) => waits,
            Self::Fact => FACT_LASTS,
        }
    }
}

/// The same call again for as long as `lasts`, in real time, while its outcome is unknown. Bounded by time and not by
/// tries: on a store that does not answer each try may take seconds.
pub(super) async fn until_answered<T, F>(lasts: Duration, call: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut over = pin!(tokio::time::sleep(lasts));
    loop {
        let outcome = call().await;
        if !matches!(outcome, Err(StoreError::Unavailable(_))) {
            return outcome;
        }
        tokio::select! {
            biased;
            () = &mut over => return outcome,
            () = tokio::time::sleep(UNANSWERED_PAUSE) => {}
        }
    }
}
