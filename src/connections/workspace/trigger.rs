//! A trigger: a workflow that wants to hear of every lead that finishes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::sealing::Sealed;

/// One activated trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::connections) struct Trigger {
    /// Attio's id of the activation.
    pub(in crate::connections) activation: String,
    /// Where it is told.
    pub(in crate::connections) url: Sealed,
    /// Leads that finish from then on are told.
    pub(super) since: Timestamp,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Trigger {
    pub(super) fn new(activation: String, url: Sealed, now: Timestamp) -> Self {
        Self { activation, url, since: now, extra: Map::new() }
    }
}
