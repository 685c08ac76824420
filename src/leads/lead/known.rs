//! Name and number as Attio had them a moment ago, so that who is put into the list again is not read again.
//!
//! It is kept with the lead, sealed, and not in a process: every replica takes up any lead, and all of them have to
//! forget it when Attio tells one of them that the record has changed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::send::SealedPerson;
use crate::clock::{Timestamp, later};

/// How long what was read is believed, where Attio tells of no change.
const KNOWN_FOR: Duration = Duration::from_secs(5 * 60);

/// Who the person is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownPerson {
    /// Name and number.
    pub person: SealedPerson,
    /// When Attio had them.
    pub at: Timestamp,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl KnownPerson {
    /// As Attio has just named them.
    pub fn new(person: SealedPerson, at: Timestamp) -> Self {
        Self { person, at, extra: Map::new() }
    }

    /// When it is forgotten.
    pub fn until(&self) -> Timestamp {
        later(self.at, KNOWN_FOR)
    }
}
