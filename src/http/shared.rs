//! One answer for many who ask at once.
//!
//! Promises that the question is under way once at most, also when those who ask hang up and others come, and that an
//! answer is given to all who ask within [`GOOD_FOR`] after it came.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use crate::lifecycle::{self, Lifecycle};

/// Short enough for a load balancer, which asks every few seconds.
const GOOD_FOR: Duration = Duration::from_millis(500);

/// The last answer. Clones share it.
#[derive(Clone)]
pub(super) struct Shared<T> {
    last: Arc<Mutex<Option<(Instant, T)>>>,
    lifecycle: Lifecycle,
}

impl<T: Clone + Send + 'static> Shared<T> {
    /// No answer yet; questions run among the tasks of `lifecycle`.
    pub(super) fn new(lifecycle: &Lifecycle) -> Self {
        Self { last: Arc::default(), lifecycle: lifecycle.clone() }
    }

    /// The last answer if it is still good, else that of `ask`.
    pub(super) async fn get<F>(&self, ask: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some((since, answer)) = &*last
            && since.elapsed() < GOOD_FOR
        {
            return answer.clone();
        }
        let asked = ask();
        // A task of its own holds the lock: a caller that hangs up must not make the next one ask again.
        let asking = self.lifecycle.spawn(async move {
            let answer = asked.await;
            *last = Some((this_moment(), answer.clone()));
            answer
        });
        asking.await.unwrap_or_else(|error| lifecycle::resume(error))
    }
}

#[expect(clippy::disallowed_methods, reason = "how old an answer is goes by the machine's time, as its callers do")]
fn this_moment() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;

    use super::*;

    /// Counts how often it was asked, which takes a second.
    async fn ask(shared: &Shared<u32>, asked: &Arc<AtomicU32>) -> u32 {
        let asked = Arc::clone(asked);
        let question = || async move {
            let count = asked.fetch_add(1, Ordering::Relaxed) + 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
            count
        };
        shared.get(question).await
    }

    #[tokio::test(start_paused = true)]
    async fn many_share_one_answer_for_half_a_second() {
        let (shared, asked) = (Shared::new(&Lifecycle::new()), Arc::default());
        for round in 1..4 {
            let answers = join_all((0..100).map(|_| ask(&shared, &asked))).await;
            assert_eq!(answers, vec![round; 100]);
            tokio::time::advance(Duration::from_millis(499)).await;
            assert_eq!(ask(&shared, &asked).await, round, "still good");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_up_makes_nobody_ask_again() {
        let (shared, asked) = (Shared::new(&Lifecycle::new()), Arc::default());
        for _ in 0..100 {
            let hangs_up = tokio::time::timeout(Duration::from_millis(1), ask(&shared, &asked)).await;
            assert!(hangs_up.is_err());
        }
        assert_eq!(ask(&shared, &asked).await, 1);
    }
}
