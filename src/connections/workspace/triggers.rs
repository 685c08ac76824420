//! A workspace's triggers: set, deleted, shown.
//!
//! Promises at most [`MOST_TRIGGERS`] of them. They outlive a connection: Attio does not activate them anew when the
//! workspace connects again.

use jiff::Timestamp;
use serde::Serialize;

use super::{aggregate::Workspace, trigger::Trigger, view::Standing};
use crate::sealing::Sealed;

/// How many a workspace may have.
pub const MOST_TRIGGERS: usize = 100;

/// A trigger as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TriggerView {
    /// Attio's id of the activation.
    pub activation_id: String,
    /// Since when leads that finish are told.
    pub created_at: Timestamp,
}

/// What became of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerPut {
    /// It is new.
    Created(TriggerView),
    /// It was there, perhaps with another URL.
    Replaced(TriggerView),
}

/// Why a trigger is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerRefused {
    /// The token's connection may not do this.
    Standing(Standing),
    /// There are [`MOST_TRIGGERS`].
    TooMany,
}

impl Workspace {
    /// The triggers, and since when each has been there.
    pub fn triggers(&self) -> Vec<(String, Timestamp)> {
        self.triggers.iter().map(|trigger| (trigger.activation.clone(), trigger.since)).collect()
    }

    /// Since when there has been a trigger.
    pub fn triggers_since(&self) -> Option<Timestamp> {
        self.triggers.iter().map(|trigger| trigger.since).min()
    }

    /// A workflow wants to be told at `url`.
    pub(in crate::connections) fn put_trigger(
        &mut self,
        activation: &str,
        url: Sealed,
        now: Timestamp,
    ) -> Result<TriggerPut, TriggerRefused> {
        if let Some(known) = self.triggers.iter_mut().find(|trigger| trigger.activation == activation) {
            known.url = url;
            return Ok(TriggerPut::Replaced(known.view()));
        }
        if self.triggers.len() >= MOST_TRIGGERS {
            return Err(TriggerRefused::TooMany);
        }
        let trigger = Trigger::new(activation.to_owned(), url, now);
        let view = trigger.view();
        self.triggers.push(trigger);
        Ok(TriggerPut::Created(view))
    }

    /// A workflow wants to hear no more; whether it did.
    pub(in crate::connections) fn delete_trigger(&mut self, activation: &str) -> bool {
        let before = self.triggers.len();
        self.triggers.retain(|trigger| trigger.activation != activation);
        self.triggers.len() != before
    }
}

impl Trigger {
    fn view(&self) -> TriggerView {
        TriggerView { activation_id: self.activation.clone(), created_at: self.since }
    }
}
