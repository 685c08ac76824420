//! What a worker that holds a lead's lease does: step after step, until nothing is left to do now.
//!
//! Promises that what an upstream answered is never dropped: on a conflict the fact is applied to what is found and
//! committed again, and a worker that lost its lease still records it and takes no further step.

pub(super) mod alc;
mod attio;
pub(super) mod came_to;
mod gates;
mod grant;
mod handed_over;
pub(super) mod in_hand;
pub(super) mod leased;
mod look_ups;
mod notes;
mod person;
mod pipeline;
mod record;
pub(super) mod run;
mod triage;
pub(super) mod waiter;
pub(super) mod workflows;
