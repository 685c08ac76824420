//! The link between a handler that waits and the task that takes the steps.

use tokio::sync::watch;

use crate::{ids::SendId, leads::lead::view::LeadView};

/// How far the task has come.
#[derive(Debug, Clone)]
pub(in crate::leads) struct Progress {
    /// The send as last committed.
    pub(in crate::leads) view: LeadView,
    /// ALC's grant turned out to be dead.
    pub(in crate::leads) reauthorization: bool,
}

/// The task's end; dropped with the task.
pub(in crate::leads) struct Waiter {
    /// The send that the handler waits for: the lead may go on to another one meanwhile.
    pub(in crate::leads) send: SendId,
    pub(in crate::leads) progress: watch::Sender<Progress>,
}
