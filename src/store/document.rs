//! What is stored: whose it is, which it is, and what is kept beside its body.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whose aggregate it is: a workspace's id, or a state of ours for an [`Kind::Attempt`]. One tenant's aggregates commit
/// together. Letters, digits, `-` and `_` only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(String);

impl Tenant {
    /// A tenant of that name.
    pub fn new(name: impl fmt::Display) -> Self {
        Self(name.to_string())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kinds of aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The tenant itself: connections, tokens, webhooks.
    Workspace,
    /// One person record.
    Lead,
    /// An idempotency key; in no index, forgotten after its `expires_at`.
    Receipt,
    /// A used OAuth state.
    Attempt,
    /// The full sync of a workspace: the one that runs, or the last one.
    Sync,
    /// A person whom ALC has brought, until Attio has them.
    Prospect,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Workspace, Self::Lead, Self::Receipt, Self::Attempt, Self::Sync, Self::Prospect];

    /// The kind's stable name, as the engines store it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Lead => "lead",
            Self::Receipt => "receipt",
            Self::Attempt => "attempt",
            Self::Sync => "sync",
            Self::Prospect => "prospect",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An aggregate within its tenant. The id is empty for the one [`Kind::Workspace`] and
/// the one [`Kind::Sync`] of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub id: String,
}

impl Key {
    /// The aggregate `id` of that kind.
    pub fn new(kind: Kind, id: impl fmt::Display) -> Self {
        Self { kind, id: id.to_string() }
    }

    /// The tenant's workspace.
    pub fn workspace() -> Self {
        Self { kind: Kind::Workspace, id: String::new() }
    }
}

/// Which commit wrote an aggregate: the next one has a greater version. See [`super::Commit::version_after`].
pub type Version = u64;

/// Which worker works on an aggregate, and until when no other one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Random; only the worker that knows it extends or ends the lease.
    pub token: Uuid,
    /// When the lease runs out.
    pub until: Timestamp,
}

/// An aggregate as the store has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// JSON.
    pub body: String,
    /// The version of `body`.
    pub version: Version,
    /// The label under which `Engine::page`, `Engine::wake` and `Engine::depths` find it.
    pub status: String,
    /// What orders a page, and tells how old the oldest is.
    pub created_at: Timestamp,
    /// When there is work; `None`: never.
    pub due: Option<Timestamp>,
    /// Also when it has run out but no other worker has taken the aggregate over.
    pub lease: Option<Lease>,
    /// The slot held at a gate.
    pub slot: Option<Timestamp>,
    /// It is leased from a lane of its own, past all that is not urgent.
    pub urgent: bool,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body stays out: what upstreams and people wrote is in it.
        f.debug_struct("Document")
            .field("version", &self.version)
            .field("status", &self.status)
            .field("due", &self.due)
            .field("lease", &self.lease)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
