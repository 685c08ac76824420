//! The store: aggregates with a version, a lease and a due time.
//!
//! Owns the [`Engine`] trait, which speaks of aggregates and never of get and set, its two engines ([`sqlite`],
//! [`redis`]), and [`Store`], the handle that every other room holds. One suite (`conformance`) runs over both engines;
//! no other room may tell them apart.
//!
//! # What an aggregate is here
//!
//! A JSON body, written whole by compare-and-swap on a **version**. *Beside* the body, so that changing them does not
//! move its version: a **lease** (which worker works on it, and until when), a **due time** (when a worker should look
//! at it), and a **slot** (when a gate lets its next request go).
//!
//! - As long as a lease is stored, also one that has run out, the aggregate is due when the lease's `until` has come.
//!   Its own due time counts again once the lease has been ended.
//! - [`Engine::lease_due`] is the only way to take over a lease that ran out, and tells the worker that it did: what
//!   the worker before was doing then has an unknown outcome.
//! - A conflict is a value and no error. An error means that the store could not be asked.
//!
//! `now` is a parameter everywhere: see [`crate::clock`].

mod aggregate;
mod alarm;
mod commit;
#[cfg(test)]
pub(crate) mod conformance;
mod degraded;
mod document;
mod engine;
mod error;
mod found;
pub mod gate;
mod handle;
mod measured;
pub mod moving;
mod open;
mod opening;
mod patience;
mod pressure;
pub mod redis;
mod resealed;
pub mod sqlite;
mod tries;

pub(crate) use self::aggregate::is_default;
#[cfg(test)]
pub(crate) use self::aggregate::with_unknown_members;
pub use self::{
    aggregate::{Aggregate, CodecError, Versioned, decode, encode, put},
    commit::{Change, Commit, Committed, LeaseChange, Reserve, Write},
    degraded::Degraded,
    document::{Document, Key, Kind, Lease, Tenant, Version},
    engine::Engine,
    error::StoreError,
    found::{BadCursor, Beside, Cursor, Depth, Due, LeaseRequest, Leased, Loaded, Page, Quota, Taken},
    handle::Store,
    open::{check_url, is_same, open, open_shelf},
    opening::{OpenError, check_namespace},
    patience::Patience,
    pressure::{Pressure, Waiting},
    resealed::Resealed,
    tries::{Decision, Tries},
};
