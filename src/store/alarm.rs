//! Wakes the reconciler, which sleeps until something is due.
//!
//! Promises that the reconciler does not sleep on when something was made due before it wakes anyway: neither what was
//! written while it sleeps, nor what was written after it looked.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use tokio::sync::Notify;

/// For one sleeper.
#[derive(Debug)]
pub(super) struct Alarm {
    woken: Notify,
    /// Microseconds; one that does not sleep needs no ringing: it looks at `unseen` before it does.
    sleeps_until: AtomicI64,
    /// The earliest that became due since the last sleep ended.
    unseen: AtomicI64,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { woken: Notify::new(), sleeps_until: AtomicI64::new(i64::MIN), unseen: AtomicI64::new(i64::MAX) }
    }
}

/// The sleep is over, or was given up. What was written by now, the look that follows will see.
struct Awake<'a>(&'a Alarm);

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.0.sleeps_until.store(i64::MIN, Ordering::SeqCst);
        self.0.unseen.store(i64::MAX, Ordering::SeqCst);
    }
}

impl Alarm {
    /// Resolves when it rings for something before `until`, which the caller has found to be the next due time, or has
    /// rung for that since the last sleep ended.
    pub(super) async fn sleep(&self, until: Option<Timestamp>) {
        let until = until.map_or(i64::MAX, Timestamp::as_microsecond);
        let awake = Awake(self);
        self.sleeps_until.store(until, Ordering::SeqCst);
        // The writer notes the time first and looks at the sleeper then; here it is the other way round. So one of the
        // two sees the other.
        if self.unseen.load(Ordering::SeqCst) >= until {
            self.woken.notified().await;
        }
        drop(awake);
    }

    /// Something was made due then. Called once it is written: a later look for the next due time finds it.
    pub(super) fn ring_for(&self, due: Timestamp) {
        let due = due.as_microsecond();
        self.unseen.fetch_min(due, Ordering::SeqCst);
        if due < self.sleeps_until.load(Ordering::SeqCst) {
            self.woken.notify_one();
        }
    }

    /// Something may have become due now.
    pub(super) fn ring(&self) {
        self.ring_for(Timestamp::MIN);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use crate::store::{
        Commit, Store,
        conformance::{DONE, IDLE, at, due, lead, put, sqlite, tenant},
    };

    #[tokio::test]
    async fn a_sleeper_is_woken_by_what_is_due_before_it_wakes_anyway() {
        let (engine, _folder) = sqlite().await;
        let store = Store::new(std::sync::Arc::new(engine));
        let commit = async |id: u64, lease| {
            let done = store.commit(&tenant(), &Commit::of(vec![put(&lead(id), None, lease)]), at(0)).await;
            assert_eq!(done.expect("answers"), DONE);
        };
        {
            let mut sleeping = pin!(store.woken(Some(at(10))));
            assert!(futures_util::poll!(&mut sleeping).is_pending());
            commit(1, due(at(10))).await;
            commit(2, IDLE).await;
            assert!(futures_util::poll!(&mut sleeping).is_pending());
            commit(3, due(at(9))).await;
            assert!(futures_util::poll!(&mut sleeping).is_ready());
        }
        // A reconciler that does not sleep is told when it does: it may have looked before.
        commit(4, due(at(20))).await;
        assert!(futures_util::poll!(pin!(store.woken(Some(at(21))))).is_ready());
        // What is due when it wakes anyway, it is not woken for.
        commit(6, due(at(20))).await;
        assert!(futures_util::poll!(pin!(store.woken(Some(at(20))))).is_pending());
        let mut sleeping = pin!(store.woken(None));
        assert!(futures_util::poll!(&mut sleeping).is_pending());
        commit(5, due(at(20))).await;
        assert!(futures_util::poll!(&mut sleeping).is_ready());
    }
}
