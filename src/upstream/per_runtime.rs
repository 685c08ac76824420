//! An HTTP client, or whatever holds connections, for each runtime.
//!
//! A connection is served by the runtime that made it: a request over it from another runtime wakes two threads, and
//! ends without an answer when that runtime does. Each thread that answers requests has a runtime of its own, and so a
//! client of its own. Promises that a runtime gets the same one at each call, that only the runtime at home, which
//! outlives the others, has the first, and that no two of the others share one as long as there are enough.

use std::sync::{PoisonError, RwLock};

use tokio::runtime::{Handle, Id};

/// See the module.
pub(super) struct PerRuntime<T> {
    first: T,
    home: Option<Id>,
    /// Not empty.
    further: Vec<T>,
    /// The other runtimes, as they came: the nth has the nth of the further ones, and after the last the first again.
    others: RwLock<Vec<Id>>,
}

impl<T> PerRuntime<T> {
    /// `first` is for the runtime on which this is called; of `further` there is at least one.
    pub(super) fn new(first: T, further: Vec<T>) -> Self {
        Self { first, home: here(), further, others: RwLock::default() }
    }

    /// The one for the runtime at home.
    pub(super) fn at_home(&self) -> &T {
        &self.first
    }

    /// The one for the runtime on which this is called.
    pub(super) fn here(&self) -> &T {
        let Some(here) = here().filter(|here| Some(*here) != self.home) else { return &self.first };
        let known = self.place_of(here).unwrap_or_else(|| {
            let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
            others.push(here);
            others.len() - 1
        });
        &self.further[known % self.further.len()]
    }

    fn place_of(&self, runtime: Id) -> Option<usize> {
        // A second entry of a runtime of several threads that ask at once does no harm: the first one counts.
        self.others.read().unwrap_or_else(PoisonError::into_inner).iter().position(|other| *other == runtime)
    }
}

fn here() -> Option<Id> {
    Handle::try_current().ok().map(|handle| handle.id())
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().build().expect("a runtime")
    }

    #[test]
    fn home_has_the_first_for_itself_and_the_others_go_round() {
        let home = runtime();
        let kept = home.block_on(async { PerRuntime::new(0, vec![1, 2]) });
        let others: Vec<_> = (0..4).map(|_| runtime()).collect();
        let of = |runtime: &Runtime| runtime.block_on(async { *kept.here() });
        for _ in 0..2 {
            assert_eq!(others.iter().map(of).collect::<Vec<_>>(), [1, 2, 1, 2]);
            assert_eq!((of(&home), *kept.here()), (0, 0));
        }
    }

    #[test]
    fn runtimes_that_come_at_once_share_none_where_there_are_enough() {
        let kept = runtime().block_on(async { PerRuntime::new(0, (1..=8).collect()) });
        let mut got: Vec<_> = std::thread::scope(|scope| {
            let threads = (0..8).map(|_| scope.spawn(|| runtime().block_on(async { *kept.here() })));
            threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        got.sort_unstable();
        assert_eq!(got, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
