//! The wire under both pretend services: a small HTTP/1.1 server that can misbehave exactly.
//!
//! Owns sockets, and with them every fault. It is written by hand because a web framework exists to make impossible
//! what is wanted here: resetting a connection after the work was done, a body shorter than announced, a port that
//! refuses. Promises that each request is recorded before anything is done about it, and that work is done whole or not
//! at all.

mod control;
mod faults;
mod journal;
mod message;
mod oddities;
mod server;
mod service;

pub use faults::{Fault, Faults, Hold, Rule, Stage};
pub(crate) use journal::next_order;
pub use journal::{Journal, Seen};
pub(crate) use message::http_date;
pub use message::{Reply, Request, decode_form};
pub use oddities::Oddity;
pub use server::Server;
pub use service::Service;
