//! The link between a handler that waits and the task that takes the steps.
//!
//! Promises that a refusal is told exactly once: either inside the request (and Attio stays as it was) or, if the
//! caller does not wait any more, by Attio showing Failed.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::watch;

use crate::{ids::SendId, leads::lead::view::LeadView};

const WAITING: u8 = 0;
const GONE: u8 = 1;
const TOLD: u8 = 2;

/// How far the task has come.
#[derive(Debug, Clone, Default)]
pub(in crate::leads) struct Progress {
    /// The lead as last committed.
    pub lead: Option<LeadView>,
    /// ALC's grant turned out to be dead.
    pub reauthorization: bool,
    /// The task has ended: nothing more happens now.
    pub ended: bool,
}

/// The task's end.
pub(in crate::leads) struct Waiter {
    /// The send that the handler waits for: the lead may go on to another one meanwhile.
    pub(in crate::leads) send: SendId,
    state: Arc<AtomicU8>,
    progress: watch::Sender<Progress>,
}

/// The handler's end; dropping it is hanging up.
pub(in crate::leads) struct Waiting {
    pub(in crate::leads) send: SendId,
    state: Arc<AtomicU8>,
    pub(in crate::leads) progress: watch::Receiver<Progress>,
}

pub(in crate::leads) fn pair(send: SendId) -> (Waiter, Waiting) {
    let state = Arc::new(AtomicU8::new(WAITING));
    let (sender, receiver) = watch::channel(Progress::default());
    (Waiter { send, state: state.clone(), progress: sender }, Waiting { send, state, progress: receiver })
}

impl Waiter {
    /// Whether the refusal of this send is told by the handler. From then on the handler waits for it, past its
    /// deadline.
    pub(in crate::leads) fn claim_refusal(&self, send: SendId) -> bool {
        if self.send != send {
            return false;
        }
        self.state.compare_exchange(WAITING, TOLD, Ordering::AcqRel, Ordering::Acquire).is_ok()
            || self.state.load(Ordering::Acquire) == TOLD
    }

    pub(in crate::leads) fn publish(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }
}

impl Waiting {
    /// Stops waiting; `false` if a refusal is on its way and is to be waited for.
    pub(in crate::leads) fn give_up(&self) -> bool {
        self.state.compare_exchange(WAITING, GONE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_one_side_only() {
        let send = SendId::random();
        let (waiter, waiting) = pair(send);
        assert!(waiter.claim_refusal(send));
        assert!(!waiting.give_up());

        let (waiter, waiting) = pair(send);
        assert!(waiting.give_up());
        assert!(!waiter.claim_refusal(send));

        let (waiter, waiting) = pair(send);
        drop(waiting);
        assert!(!waiter.claim_refusal(send));
    }

    #[test]
    fn another_sends_refusal_is_not_this_callers() {
        let (waiter, waiting) = pair(SendId::random());
        assert!(!waiter.claim_refusal(SendId::random()));
        assert!(waiting.give_up());
    }
}
