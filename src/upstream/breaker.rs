//! A breaker over one upstream as a whole, beside those that the store keeps for each workspace.
//!
//! A workspace's own breaker opens after five of its calls have failed, each of which may have held a worker for the
//! whole time limit. Where hundreds of workspaces go to one upstream that hangs, all workers would wait for it, again
//! and again. Promises that calls are held back once calls of several workspaces in a row have had no answer; that a
//! single workspace whose calls fail holds back no other; and that then one call at a time is let through to see
//! whether the upstream is back. Each process has its own: it guards that process's workers.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::{clock::later, telemetry};

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// Of so many workspaces at least.
const WORKSPACES: usize = 3;
/// The first cool-down; each probe that fails doubles it.
const FIRST_COOL_DOWN: Duration = Duration::from_secs(5);
/// The longest: an upstream that is back is noticed within it.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// Whose they were; of more than [`WORKSPACES`] nothing is kept.
    workspaces: BTreeSet<String>,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    /// No call goes before then.
    until: Timestamp,
    cool_down: Duration,
    /// A probe is under way.
    probing: bool,
}

/// No call goes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBack {
    /// Until then at least.
    pub until: Timestamp,
    /// Over so long after that the calls that wait are to come back: at once they would all come for the one probe.
    pub spread: Duration,
}

/// The one call that goes through an open breaker. Dropped before an answer was reported, it lets another one go.
#[derive(Debug)]
pub struct Probe(Arc<Breaker>);

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(open) = &mut self.0.lock().open {
            open.probing = false;
        }
    }
}

impl Breaker {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call may go now. While the breaker is open it is the probe, and is to be reported with what it got.
    pub fn lets_through(self: &Arc<Self>, now: Timestamp) -> Result<Option<Probe>, HeldBack> {
        let mut state = self.lock();
        let Some(open) = &mut state.open else { return Ok(None) };
        if now < open.until || open.probing {
            let until = open.until.max(if open.probing { later(now, FIRST_COOL_DOWN) } else { now });
            return Err(HeldBack { until, spread: open.cool_down });
        }
        open.probing = true;
        Ok(Some(Probe(self.clone())))
    }

    /// Whether it is open: nothing that can wait is to be begun.
    pub fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    /// A call for this workspace, perhaps the probe, had no answer.
    pub fn failed(&self, workspace: &str, probe: Option<Probe>, now: Timestamp) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.workspaces.len() < WORKSPACES {
            state.workspaces.insert(workspace.to_owned());
        }
        let many = state.failures >= FAILURES && state.workspaces.len() >= WORKSPACES;
        let open = |cool_down| Open { until: later(now, cool_down), cool_down, probing: false };
        match state.open {
            None if many => {
                tracing::warn!("ALC has answered no workspace: one call at a time from now on, until it answers");
                state.open = Some(open(FIRST_COOL_DOWN));
                telemetry::breaker("alc", true);
            }
            Some(before) if probe.is_some() => {
                state.open = Some(open((before.cool_down * 2).min(LONGEST_COOL_DOWN)));
            }
            // It set out before the breaker opened, and says nothing new.
            _ => {}
        }
        // The end of a probe takes the lock.
        drop(state);
        drop(probe);
    }

    /// A call had an answer, whatever it says.
    pub fn answered(&self) {
        let before = std::mem::take(&mut *self.lock());
        if before.open.is_some() {
            telemetry::breaker("alc", false);
            tracing::info!("ALC answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        later(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))
    }

    fn opened() -> Arc<Breaker> {
        let breaker = Arc::new(Breaker::default());
        for workspace in ["a", "b", "c", "d", "e"] {
            assert!(breaker.lets_through(at(0)).expect("it is closed").is_none());
            breaker.failed(workspace, None, at(0));
        }
        breaker
    }

    fn held_back(breaker: &Arc<Breaker>, now: u64) -> Timestamp {
        breaker.lets_through(at(now)).expect_err("it is open").until
    }

    #[test]
    fn an_upstream_that_answers_no_workspace_is_asked_by_one_call_at_a_time() {
        let breaker = opened();
        let mut opens = 5;
        for cool_down in [10, 20, 40, 60, 60] {
            assert_eq!(held_back(&breaker, opens - 1), at(opens));
            let probe = breaker.lets_through(at(opens)).expect("the probe");
            assert_eq!(held_back(&breaker, opens), at(opens + 5), "only one");
            breaker.failed("a", probe, at(opens));
            opens += cool_down;
        }
        let probe = breaker.lets_through(at(opens)).expect("the probe");
        breaker.answered();
        drop(probe);
        assert!(!breaker.is_open());
        assert!(breaker.lets_through(at(opens)).expect("it is closed").is_none());
    }

    #[test]
    fn the_longer_it_is_down_the_rarer_those_that_wait_come_back() {
        let breaker = opened();
        let spread = |now| breaker.lets_through(at(now)).expect_err("it is open").spread;
        assert_eq!(spread(0), Duration::from_secs(5));
        breaker.failed("a", breaker.lets_through(at(5)).expect("the probe"), at(5));
        assert_eq!(spread(5), Duration::from_secs(10));
    }

    #[test]
    fn a_probe_that_is_given_up_without_a_call_lets_another_go() {
        let breaker = opened();
        let probe = breaker.lets_through(at(5)).expect("the probe");
        assert_eq!(held_back(&breaker, 5), at(10));
        drop(probe);
        assert!(breaker.lets_through(at(5)).expect("another").is_some());
    }

    #[test]
    fn workspaces_whose_calls_fail_hold_back_no_other() {
        let breaker = Arc::new(Breaker::default());
        for _ in 0..100 {
            breaker.failed("a", None, at(0));
            breaker.failed("b", None, at(0));
        }
        assert!(!breaker.is_open(), "of two workspaces alone");
        breaker.answered();
        for workspace in ["a", "b", "c", "a"] {
            breaker.failed(workspace, None, at(1));
        }
        assert!(!breaker.is_open(), "four in a row");
        breaker.failed("a", None, at(1));
        assert!(breaker.is_open());
    }

    #[test]
    fn failures_of_calls_that_set_out_before_do_not_lengthen_the_cool_down() {
        let breaker = opened();
        breaker.failed("f", None, at(4));
        assert_eq!(held_back(&breaker, 4), at(5));
        let _probe = breaker.lets_through(at(5)).expect("the probe");
        breaker.failed("g", None, at(6));
        assert_eq!(held_back(&breaker, 6), at(11), "the probe is still under way");
    }
}
