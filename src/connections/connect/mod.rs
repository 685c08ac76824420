//! Connection-added: Attio is checked, its attributes and our webhook there are made, ALC's webhook is intended, then
//! created, and the connection takes over.
//!
//! Promises that nothing is made twice, that a concurrent call waits for the first, and that a failure undoes what was
//! made: what has to be undone is in the state, with a due time, so that a crash undoes it too. Goes on when the caller
//! hangs up, in a task that a drain waits for.

mod added;
mod alc_webhook;
pub(super) mod attempt;
mod attio_access;
mod attio_webhook;
pub(super) mod attributes;
mod entry_list;
mod pipeline;
