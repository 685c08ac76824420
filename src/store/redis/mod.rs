//! The Redis engine: the product's store.
//!
//! Owns the layout (`keys`, `scripts/`), the ways to a server (`connection`: one server, a cluster, a master that
//! Sentinel watches) and the only use of the `redis` crate. All of a tenant is in one of sixteen partitions, each one
//! slot of a cluster, so each commit is one Lua script. Promises what `Engine` promises, as durable as the server's
//! persistence and replication are set; that a lost answer is asked for again without a second effect; that a full
//! server still drains; and that losing the server heals without a restart.

mod address;
mod answers;
mod clock;
mod connection;
mod dial;
mod engine;
mod everywhere;
mod failure;
mod fitness;
mod keys;
mod layout;
mod life;
mod scripts;
mod sentinel;
mod server;
mod serving;
mod shelf;
#[cfg(test)]
mod tests;
mod watch;

pub use self::{
    engine::{RedisEngine, check_url},
    shelf::RedisShelf,
};
