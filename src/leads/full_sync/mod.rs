//! The full sync: both sides of a workspace looked through, and each difference set right once.
//!
//! Promises that each difference is decided anew, on what is there at that moment, before anything is written; that the
//! writing of a result stays the lead's own step, and the asking of ALC too; that a record which nobody knows is
//! written only if that was asked for, and never while there is a lead for it; that all of it takes at most a tenth of
//! the pace of Attio's gate; and that a process may die at any moment: any replica goes on from what is stored.
//!
//! People who come, go or change while the pages are read may be passed over: the next sync finds them.
//!
//! - [`run`]: what is stored of a sync, and its transitions. Pure.
//! - [`begin`]: how one is begun, by an operator or by the clock, and what is told of it.
//! - [`step`]: what a worker that holds its lease does: a page, or one of those below.
//! - [`settle`]: one person whom Attio shows as Pending; [`lost`]: one of whom nobody knows; [`asked`]: leads of whose
//!   results ALC is asked.

mod asked;
mod begin;
mod lost;
mod run;
mod settle;
mod step;

pub use self::begin::{SyncBegun, SyncView};
use self::run::SyncRun;
use crate::store::{CodecError, Document, moving::Examined};

/// What is wrong with a stored sync, which seals nothing.
pub fn examine_sync(document: &Document) -> Result<Examined, CodecError> {
    Examined::read::<SyncRun>(document).map(|(_, examined)| examined)
}
