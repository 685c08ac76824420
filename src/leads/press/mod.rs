//! The button: from a press to its answer.
//!
//! Promises that nothing is sent before the intent is stored, that a record whose send is live is not sent again, and
//! that a key which was seen before never makes a second send, also while the first still runs.

pub(super) mod answer;
pub(super) mod batch;
mod begin;
pub(super) mod button;
mod decide;
pub(super) mod find;
pub(super) mod receipt;
pub(super) mod recent;
mod store;
mod wait;
