//! The place in a list that a result is owed.
//!
//! Promises that the newest result which names a stage decides it, and that it is written until Attio has it: writing
//! it twice does no more than once, so that an answer that was lost needs no look.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::trying::Trying;
use crate::ids::{RecordId, SendId};

/// A stage that the record is to have in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Whose result names it.
    pub send: SendId,
    /// The stage's title.
    pub stage: String,
    /// How it ended; `None`: it is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<PlacementEnded>,
    /// How it goes with writing it.
    #[serde(flatten)]
    pub trying: Trying,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How a placement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlacementEnded {
    /// Attio has it.
    Placed,
    /// It is not tried any more.
    GivenUp,
}

/// Why a record is not placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacementFailure {
    /// Try again.
    Later,
    /// Not until a person acts.
    Refused,
    /// No such record.
    Gone(RecordId),
}

impl Placement {
    /// Whether it is still to be written.
    pub fn is_owed(&self) -> bool {
        self.ended.is_none()
    }

    /// It is over.
    pub(super) fn end(&mut self, ended: PlacementEnded) {
        self.ended = Some(ended);
        self.trying.end();
    }
}
