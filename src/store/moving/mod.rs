//! A store as a whole: copied into another one, or looked through for what is wrong.
//!
//! Owns [`Shelf`], which is to a whole store what [`super::Engine`] is to one tenant; the copy from one shelf to
//! another; and the words for what is wrong with a store. Promises that sealed values are copied as they are, that a
//! store which a copy left half filled is never served from, and that nothing said here shows a person, a token or a
//! browser's secret.

mod copy;
mod examined;
mod finding;
mod shelf;
mod tally;
#[cfg(test)]
mod tests;

pub use self::{
    copy::{Copied, CopyError, copy},
    examined::Examined,
    finding::{Finding, GATE, INDEX, REBUILD, RESTORE, Subject},
    shelf::{Held, HeldGate, Place, Purpose, Shelf, Stretch},
    tally::{Row, Tally},
};
