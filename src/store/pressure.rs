//! Whether callers wait for a store that has become slow.
//!
//! A hundred thousand leads that are due at once are work for minutes, and no caller waits for any of them. Workers
//! that take them as fast as they can leave a press, a callback or a page one of dozens of shares in the store and the
//! processor. Promises that this is noticed within a moment, whatever the store: "slow" is several times what the same
//! store needed when it had little to do. It decides what goes first, and nothing else: so it goes by the machine's
//! time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// So much longer than at its best, and [`SLACK`] more, may a commit take.
const TIMES: u32 = 4;
const SLACK: Duration = Duration::from_millis(2);
/// The best of so long a time, and of as long before it, is what the store needs when it has little to do.
const BEST_OF: Duration = Duration::from_secs(60);
/// The mean goes by about so many commits.
const MEAN_OF: u32 = 16;
/// How long it stays so. Work that makes way makes the store fast again, and would come back at once.
const LASTS: Duration = Duration::from_secs(1);
/// A caller that was here a moment ago comes again.
const MOMENT: Duration = Duration::from_millis(50);

/// How busy one process's store is, and whether requests are under way. Clones share it.
#[derive(Clone, Default)]
pub struct Pressure(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Requests under way.
    requests: usize,
    /// When the last one ended.
    ended: Option<Instant>,
    /// When the present best began to count, it, and the one before it.
    best: Option<(Instant, Duration)>,
    best_before: Option<Duration>,
    mean: Duration,
    until: Option<Instant>,
}

impl State {
    fn took(&mut self, took: Duration, now: Instant) {
        self.best = match self.best {
            Some((since, best)) if now < since + BEST_OF => Some((since, best.min(took))),
            before => {
                self.best_before = before.map(|(_, best)| best);
                Some((now, took))
            }
        };
        self.mean = (self.mean * (MEAN_OF - 1) + took) / MEAN_OF;
        if self.is_slow() && self.is_waited_for(now) {
            self.until = Some(now + LASTS);
        }
    }

    fn is_slow(&self) -> bool {
        let best = self.best.map(|(_, best)| best).into_iter().chain(self.best_before).min();
        best.is_some_and(|best| self.mean > best * TIMES + SLACK)
    }

    fn is_waited_for(&self, now: Instant) -> bool {
        self.requests > 0 || self.ended.is_some_and(|ended| now < ended + MOMENT)
    }

    fn is_high(&self, now: Instant) -> bool {
        self.is_waited_for(now) && self.until.is_some_and(|until| now < until)
    }
}

impl Pressure {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is under way from now on, until what this returns is dropped.
    pub fn request(&self) -> Waiting {
        self.state().requests += 1;
        Waiting(self.clone())
    }

    /// A commit has taken that long.
    pub(super) fn took(&self, took: Duration) {
        self.state().took(took, now());
    }

    /// Whether work that nobody waits for should make way now.
    pub fn is_high(&self) -> bool {
        self.state().is_high(now())
    }
}

/// One request.
pub struct Waiting(Pressure);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests = state.requests.saturating_sub(1);
        state.ended = Some(now());
    }
}

#[expect(clippy::disallowed_methods, reason = "how long the machine takes; only who goes first is decided by it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAST: Duration = Duration::from_micros(300);
    const SLOW: Duration = Duration::from_millis(10);

    fn commits(state: &mut State, took: Duration, at: Instant) {
        for _ in 0..4 * MEAN_OF {
            state.took(took, at);
        }
    }

    #[test]
    fn a_store_that_has_become_slow_while_a_caller_waits_is_noticed_and_no_other() {
        let (mut state, began) = (State::default(), now());
        state.requests = 1;
        commits(&mut state, FAST, began);
        assert!(!state.is_high(began), "it is as fast as ever");
        commits(&mut state, SLOW, began);
        assert!(state.is_high(began));
        state.requests = 0;
        assert!(!state.is_high(began), "nobody waits");
        state.ended = Some(began);
        assert!(state.is_high(began + MOMENT / 2), "the caller comes again");
        commits(&mut state, FAST, began + LASTS / 2);
        state.requests = 1;
        assert!(state.is_high(began + LASTS / 2), "what made way does not come back at once");
        assert!(!state.is_high(began + LASTS), "nothing is slow any more");
    }

    #[test]
    fn a_store_that_is_always_slow_is_not_waited_for() {
        let (mut state, began) = (State { requests: 1, ..State::default() }, now());
        commits(&mut state, FAST, began);
        for minutes in 1..4 {
            commits(&mut state, SLOW, began + BEST_OF * minutes);
        }
        assert!(!state.is_high(began + BEST_OF * 3 + LASTS), "a far one needs that long");
    }

    proptest! {
        #[test]
        fn nothing_makes_way_for_nobody(took in proptest::collection::vec((0_u64..100_000, 0_u64..90_000), 0..60)) {
            let (mut state, mut at) = (State::default(), now());
            for (micros, later) in took {
                at += Duration::from_millis(later);
                state.took(Duration::from_micros(micros), at);
                prop_assert!(!state.is_high(at));
            }
        }
    }
}
