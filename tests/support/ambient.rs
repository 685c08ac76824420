//! The one place of these tests that touches real time and spawns.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

/// How long anything that should happen may take in real time before the test has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs something beside the test.
#[expect(clippy::disallowed_methods, reason = "tests have no lifecycle; whoever spawns keeps the handle")]
pub fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(task)
}

/// A moment from which real time is counted.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts counting.
    #[expect(clippy::disallowed_methods, reason = "a test that waits for an event has to give up some day")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Real time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Asks again and again until `question` has an answer.
///
/// # Panics
/// When it has none within [`PATIENCE`], naming `what` was waited for.
pub async fn eventually<T>(what: &str, question: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, question).await
}

/// As [`eventually`], with a patience of its own.
pub async fn eventually_within<T>(patience: Duration, what: &str, mut question: impl AsyncFnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(watch.elapsed() < patience, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
