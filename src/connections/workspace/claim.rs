//! A claim: one task does something that no other may do at the same time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The task `owner` is at it until then. After that another may begin: the task has crashed, or its request was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connections) struct Claim {
    /// Random; tells the claiming task from every other.
    pub(in crate::connections) owner: Uuid,
    /// When it lapses.
    pub(in crate::connections) until: Timestamp,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Claim {
    /// A claim of the task `owner`.
    pub(in crate::connections) fn new(owner: Uuid, until: Timestamp) -> Self {
        Self { owner, until, extra: Map::new() }
    }

    /// Whether other tasks have to wait.
    pub(in crate::connections) fn is_live(&self, now: Timestamp) -> bool {
        now < self.until
    }
}
