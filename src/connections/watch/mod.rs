//! Our webhooks are looked at again: ALC or Attio may have lost one, a person may have deleted it, and after a change
//! of `PUBLIC_URL` it leads elsewhere.
//!
//! So are the attributes that are written in Attio, and the list whose entries send: a person may have archived one.
//!
//! Promises one look a day for each workspace and side, that a webhook which is missing or leads elsewhere is replaced,
//! that webhooks of the workspace below our own URL whose secret no replica knows are deleted, and that no other
//! webhook is touched. At an ALC that lists nothing only a change of `PUBLIC_URL` is noticed: whether ALC still has the
//! webhook cannot be known there.

mod alc;
mod attio;
mod listed;
mod looks;
mod schema;
