//! The workspace: the tenant's connections, webhooks and triggers, and what may happen to them.
//!
//! Pure: no I/O, no clock, no randomness. `now` is a parameter, secrets come sealed, ids come made. Promises that at
//! most one connection is current, that tokens are erased only once their grant was released, that every state which is
//! not final has a due time, and that every transition is valid in every state: what an upstream answered is recorded,
//! however late it comes.

pub(super) mod agenda;
pub(super) mod aggregate;
pub(super) mod claim;
pub(super) mod code;
pub(super) mod connection;
mod facts;
pub(super) mod grant;
mod retry;
pub(super) mod schema;
mod schema_looks;
pub(super) mod settle;
pub(super) mod side;
pub(super) mod story;
pub(super) mod suspicion;
pub(super) mod transitions;
mod trigger;
pub(super) mod triggers;
pub(super) mod view;
pub(super) mod watch;
pub(super) mod webhook;
