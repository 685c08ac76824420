//! The aggregate: one person record of a workspace, its present send, and what Attio and the workflows know of it.
//!
//! Pure: no I/O, no clock, no randomness. Promises that every transition is valid in every state, because what an
//! upstream answered may be recorded when the lead has long gone on.

mod after;
pub(super) mod aggregate;
pub(super) mod alc;
pub(super) mod attio;
pub(super) mod calls;
pub(super) mod compared;
pub(super) mod dead_letters;
pub(super) mod end;
pub(super) mod entry;
pub(super) mod given_up;
mod happened;
pub(super) mod history;
pub(super) mod known;
pub(super) mod mend;
pub(super) mod merge;
pub(super) mod next_step;
pub(super) mod note;
pub(super) mod outcome;
pub(super) mod owed;
pub(super) mod person;
pub(super) mod pipeline;
pub(super) mod prospect;
pub(super) mod reach;
mod refusal;
pub(super) mod remembered;
pub(super) mod result;
pub(super) mod send;
pub(super) mod shown;
pub(super) mod story;
#[cfg(test)]
mod tests;
pub(super) mod to_read;
mod trying;
pub(super) mod view;
