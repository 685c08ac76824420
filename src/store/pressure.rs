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
/// A single commit counts for no more than so many times what is slow: a disk that stalls now and then is not slow.
const AT_MOST: u32 = 4;
/// How long it stays so. Work that makes way makes the store fast again, and would come back at once.
const LASTS: Duration = Duration::from_secs(1);
/// A caller that was here a moment ago comes again.
const MOMENT: Duration = Duration::from_millis(250);

/// How busy one process's store is, and whether requests are under way in that process; of other replicas' callers it
/// knows nothing. Clones share it.
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
    last: Option<Instant>,
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
        // One stall makes all wait that are under way then, and counts once.
        let began = now.checked_sub(took);
        if self.last.is_some_and(|last| began.is_none_or(|began| began < last)) {
            return;
        }
        let took = self.slow().map_or(took, |slow| took.min(slow * AT_MOST));
        // What was slow before a pause says nothing of now.
        let goes_on = self.last.replace(now).is_some_and(|last| now < last + took + LASTS);
        self.mean = if goes_on { (self.mean * (MEAN_OF - 1) + took) / MEAN_OF } else { took.min(self.mean) };
        if self.is_slow() && self.is_waited_for(now) {
            self.until = Some(now + LASTS);
        }
    }

    /// A mean beyond this is slow.
    fn slow(&self) -> Option<Duration> {
        let best = self.best.map(|(_, best)| best).into_iter().chain(self.best_before).min();
        best.map(|best| best * TIMES + SLACK)
    }

    fn is_slow(&self) -> bool {
        self.slow().is_some_and(|slow| self.mean > slow)
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
        self.state().took(took, Self::now());
    }

    /// Whether work that no caller waits for should make way at `now`.
    pub fn is_high(&self, now: Instant) -> bool {
        self.state().is_high(now)
    }

    /// The machine's time.
    #[expect(clippy::disallowed_methods, reason = "how long the machine takes; only what goes first is decided by it")]
    pub fn now() -> Instant {
        Instant::now()
    }
}

/// One request.
pub struct Waiting(Pressure);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests = state.requests.saturating_sub(1);
        state.ended = Some(Pressure::now());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAST: Duration = Duration::from_micros(300);
    const SLOW: Duration = Duration::from_millis(10);

    /// One after the other; the answer is when the last of them has ended.
    fn commits(state: &mut State, took: Duration, began: Instant) -> Instant {
        (1..=4 * MEAN_OF).fold(began, |_, nth| {
            state.took(took, began + took * nth);
            began + took * nth
        })
    }

    #[test]
    fn a_store_that_has_become_slow_while_a_caller_waits_is_noticed_and_no_other() {
        let mut state = State { requests: 1, ..State::default() };
        let at = commits(&mut state, FAST, Pressure::now());
        assert!(!state.is_high(at), "it is as fast as ever");
        let at = commits(&mut state, SLOW, at);
        assert!(state.is_high(at));
        state.requests = 0;
        assert!(!state.is_high(at), "nobody waits");
        state.ended = Some(at);
        assert!(state.is_high(at + MOMENT / 2), "the caller comes again");
        state.requests = 1;
        let fast = commits(&mut state, FAST, at);
        assert!(state.is_high(fast), "what made way does not come back at once");
        assert!(!state.is_high(fast + LASTS), "nothing is slow any more");
    }

    #[test]
    fn a_store_that_is_always_slow_is_not_waited_for() {
        let (mut state, began) = (State { requests: 1, ..State::default() }, Pressure::now());
        commits(&mut state, FAST, began);
        let mut at = began;
        for minutes in 1..4 {
            at = commits(&mut state, SLOW, began + BEST_OF * minutes);
        }
        assert!(!state.is_high(at), "a far one needs that long");
    }

    #[test]
    fn a_stall_now_and_then_and_a_pause_are_not_slow() {
        let mut state = State { requests: 1, ..State::default() };
        let at = commits(&mut state, FAST, Pressure::now());
        let stall = Duration::from_secs(1) / 2;
        for _ in 0..64 {
            state.took(stall, at + stall);
        }
        assert!(!state.is_high(at + stall), "one stall, of all that were under way");
        let at = commits(&mut state, SLOW, at + stall) + LASTS * 30;
        state.took(FAST, at);
        assert!(!state.is_high(at), "long ago");
    }

    proptest! {
        #[test]
        fn nothing_makes_way_for_nobody(took in proptest::collection::vec((0_u64..100_000, 0_u64..90_000), 0..60)) {
            let (mut state, mut at) = (State::default(), Pressure::now());
            for (micros, later) in took {
                at += Duration::from_millis(later);
                state.took(Duration::from_micros(micros), at);
                prop_assert!(!state.is_high(at));
            }
        }
    }
}
