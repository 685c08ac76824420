//! A write that is owed in Attio besides the record, as far as it is tried: until when, how often in vain, what stands
//! in its way.
//!
//! Its members stand in the document among those of what is owed.

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, ids::RecordId};

/// How it goes with a write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trying {
    /// Until when it is tried.
    pub until: Timestamp,
    /// Failures in a row.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub failures: u32,
    /// Not before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Attio refuses it until a person acts; retried slowly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// That record is gone: nothing is tried before a merge gives the lead another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_from: Option<RecordId>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Trying {
    /// Nothing was tried yet.
    pub(super) fn until(until: Timestamp) -> Self {
        Self { until, failures: 0, retry_at: None, refused: false, gone_from: None, last_error: None }
    }

    /// Attio has no such record.
    pub(super) fn gone(&mut self, record: RecordId) {
        (self.gone_from, self.retry_at) = (Some(record), None);
    }

    /// It is over, one way or the other.
    pub(super) fn end(&mut self) {
        (self.failures, self.retry_at, self.refused) = (0, None, false);
    }

    /// What waits only for a next try is tried now; whether it did.
    pub(super) fn now(&mut self, now: Timestamp) -> bool {
        self.retry_at.take_if(|at| *at > now).is_some()
    }
}
