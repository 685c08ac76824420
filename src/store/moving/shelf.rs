//! A store as a whole: walked through from one end to the other, or filled.

use async_trait::async_trait;
use jiff::Timestamp;

use super::finding::Finding;
use crate::store::{Document, Key, StoreError, Tenant, gate::GateState};

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To serve from it; a new one is made.
    Serve,
    /// To look at one that is there, also while a service runs on it.
    Check,
    /// To copy from one that is there and that no service runs on.
    CopyFrom,
    /// To fill it: it must be empty, or what a copy left behind that was cut short, and that is removed.
    CopyInto,
}

/// An aggregate with everything that is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Whose it is.
    pub tenant: Tenant,
    /// Which it is.
    pub key: Key,
    /// As it is stored.
    pub document: Document,
    /// Of a receipt: from then on it does not exist.
    pub expires_at: Option<Timestamp>,
}

/// A gate with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldGate {
    /// Whose it is.
    pub tenant: Tenant,
    /// Before which upstream.
    pub upstream: String,
    /// As it is stored.
    pub state: GateState,
}

/// How far a walk has come; each engine has its own words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub(in crate::store) String);

/// A part of what is stored. An aggregate may come twice.
#[derive(Debug, Default)]
pub struct Stretch {
    /// The aggregates, of all kinds.
    pub aggregates: Vec<Held>,
    /// The gates.
    pub gates: Vec<HeldGate>,
    /// What of this stretch is wrong: it cannot be read, or an index does not have it.
    pub findings: Vec<Finding>,
    /// Where the next stretch begins; `None`: this was the last.
    pub next: Option<Place>,
}

/// A whole store.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// The time by the clock that the store's leases go by.
    fn now(&self) -> Timestamp;

    /// What is stored from that place on. What stands throughout a walk is found by it.
    async fn walk(&self, place: Option<&Place>) -> Result<Stretch, StoreError>;

    /// What is wrong with the indexes, looked at from their side: entries that no aggregate stands behind.
    async fn index_findings(&self) -> Result<Vec<Finding>, StoreError>;

    /// Writes what a stretch of another store holds, as it was there, and builds its indexes.
    async fn put(&self, aggregates: &[Held], gates: &[HeldGate], now: Timestamp) -> Result<(), StoreError>;

    /// The store is whole: from here on a service may open it.
    async fn finish(&self) -> Result<(), StoreError>;
}
