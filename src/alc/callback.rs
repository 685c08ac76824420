//! What ALC sends to our webhook: `{"record_id" | "recordId", "status", "lead_id"?, "event"?}`.

use crate::ids::RecordId;

/// A callback's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The person record.
    pub record_id: RecordId,
    /// ALC's word: a result, or [`is_unfinished`].
    pub status: String,
    /// ALC's id of the lead, numbers as text.
    pub lead_id: Option<String>,
    /// `None` counts as `lead.processed`.
    pub event: Option<String>,
}

/// The body is no callback.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Malformed {
    /// RFC 6901 pointer to the fault.
    pub pointer: String,
    /// What is wrong with it, quoting nothing.
    pub detail: String,
}

/// Reads a callback.
pub fn parse(_body: &[u8]) -> Result<Callback, Malformed> {
    Err(Malformed { pointer: String::new(), detail: String::new() })
}

/// Whether a status of ALC means that the lead is not finished (`processing`, `pending`, `queued`, any letter case).
pub fn is_unfinished(status: &str) -> bool {
    ["processing", "pending", "queued"].iter().any(|word| status.trim().eq_ignore_ascii_case(word))
}
