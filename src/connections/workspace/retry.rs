//! What is tried again: how often it has failed, and when its next turn is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Failures in a row of one thing, for example of deleting one webhook. Its members stand in the document among those
/// of the thing itself, which also keeps the members that this version does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connections) struct Retry {
    /// Failures in a row.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub(in crate::connections) attempts: u32,
    /// Not tried again before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) retry_at: Option<Timestamp>,
}

impl Retry {
    /// It failed; the next try is at `at`.
    pub(in crate::connections) fn postpone(&mut self, at: Timestamp) {
        self.attempts = self.attempts.saturating_add(1);
        self.retry_at = Some(at);
    }

    /// Failures of the past say nothing about what comes.
    pub(in crate::connections) fn reset(&mut self) {
        *self = Self::default();
    }

    /// `at`, or when the next try may be if that is later.
    pub(in crate::connections) fn not_before(&self, at: Timestamp) -> Timestamp {
        self.retry_at.map_or(at, |retry| at.max(retry))
    }
}
