//! How long a store that does not answer is asked again.

use std::{future::Future, pin::pin, time::Duration};

use super::error::StoreError;

/// The first wait before a call without an answer is repeated; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest. A store that comes back gets the facts that wait for it within a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A Redis that is silent is given up after six seconds: a commit is repeated at least once.
const CALLER_WAITS: Duration = Duration::from_secs(10);
/// An outage this long is worth a line in the log: workers hold what upstreams have answered.
const WORTH_A_WARNING: Duration = Duration::from_secs(20);
/// For so long a commit that has no answer is repeated as it is. Redis remembers a commit's id for five minutes from
/// when it first saw it, SQLite the last ten thousand ids; later the repeat would be a second commit.
const REPEATABLE: Duration = Duration::from_secs(4 * 60);

/// How long a change is tried while the store does not answer, and how often while other writers keep writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A caller waits for the answer, and asks again after an error. A load that fails is not repeated, since nothing
    /// is lost with it; a commit whose outcome is unknown is, for so long in real time: only its answer says whether
    /// the caller may be told that nothing was stored.
    Caller(Duration),
    /// What an upstream answered, or whatever else cannot be asked for again: dropped, a lead would be sent twice. It
    /// is pressed on, loads and commits alike, until the store takes it or the process ends. Neither an outage, nor a
    /// store that is full, nor any number of conflicts ends it.
    Fact,
}

/// How a call went that was repeated for as long as its patience lasts.
pub(super) enum Pressed<T> {
    Answered(Result<T, StoreError>),
    /// A commit has had no answer for so long that its id may be forgotten: whether it took effect shows in what is
    /// stored.
    Forgotten,
}

impl Patience {
    /// A caller that names no time of its own.
    pub const CALLER: Self = Self::Caller(CALLER_WAITS);

    /// The same load again until it is answered. A caller gets its error at once.
    pub(super) async fn load<T, F>(self, load: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        match self {
            Self::Caller(_) => load().await,
            Self::Fact => loop {
                // Loads have no second effect: what is forgotten is asked again.
                if let Pressed::Answered(answer) = self.press(&load).await {
                    return answer;
                }
            },
        }
    }

    /// The same commit again until it is answered.
    pub(super) async fn press<T, F>(self, call: impl Fn() -> F) -> Pressed<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let (lasts, warns) = match self {
            Self::Caller(waits) => (waits, Duration::MAX),
            Self::Fact => (REPEATABLE, WORTH_A_WARNING),
        };
        let (mut over, mut warning) = (pin!(tokio::time::sleep(lasts)), pin!(tokio::time::sleep(warns)));
        let (mut pause, mut warned, mut unanswered) = (FIRST_PAUSE, false, None);
        loop {
            let error = match (call().await, self) {
                (Err(error @ StoreError::Unavailable(_)), _) | (Err(error @ StoreError::Full), Self::Fact) => error,
                // "Full" says for certain that nothing was stored. A call without an answer before it may still be on
                // its way, and find room.
                (Err(StoreError::Full), Self::Caller(_)) => {
                    return Pressed::Answered(Err(unanswered.unwrap_or(StoreError::Full)));
                }
                (answered, _) => return Pressed::Answered(answered),
            };
            tokio::select! {
                biased;
                () = &mut over => return if self == Self::Fact { Pressed::Forgotten } else { Pressed::Answered(Err(error)) },
                () = &mut warning, if !warned => {
                    warned = true;
                    tracing::warn!(%error, "the store does not take what an upstream answered: pressed on until it does");
                }
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
            unanswered = Some(error);
        }
    }
}
