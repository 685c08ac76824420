//! A person whom Attio has yet to name: the entry of a list that asked for a send says only which record it is of.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;

/// What is known of asking Attio.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToRead {
    /// Failures in a row.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub failures: u32,
    /// Attio is not asked before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// How often Attio has told that the record had changed.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub changes: u32,
    /// How often what Attio named was from before such a change.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub outdated: u32,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
