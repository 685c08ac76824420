//! What Attio has certainly taken, and what may still arrive there late.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    clock::{Timestamp, later},
    ids::SendId,
};

/// When a PATCH without an answer is read back, after it was sent.
pub const READ_BACK_AFTER: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(15 * 60)];

/// Doubts remembered: a PATCH more than a quarter of an hour old arrives no more, and only crashes and lost answers of
/// several sends within that time make as many.
const DOUBTS_KEPT: usize = 16;

/// A title of ours in Attio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Title {
    /// ALC has the lead.
    Pending,
    /// ALC has given its result.
    Complete,
    /// The send failed.
    Failed,
}

/// A state of the record in Attio: which title, on behalf of which send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Showing {
    /// The send.
    pub send: SendId,
    /// The title.
    pub title: Title,
}

/// A showing that Attio has certainly taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The showing.
    #[serde(flatten)]
    pub showing: Showing,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A PATCH whose answer was not seen: Attio may apply it late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// What it would show.
    pub title: Title,
    /// On behalf of which send: with its title come its id and its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<SendId>,
    /// When it was sent.
    pub at: Timestamp,
    /// How many of [`READ_BACK_AFTER`] are done.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub checks: u8,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Doubt {
    /// When it is next read back; `None`: no more.
    pub fn check_at(&self) -> Option<Timestamp> {
        READ_BACK_AFTER.get(usize::from(self.checks)).map(|after| later(self.at, *after))
    }

    /// Whether it would change something where `wanted` is shown. A doubt that would only say the same needs no look.
    pub fn would_change(&self, wanted: Showing) -> bool {
        (self.title, self.send) != (wanted.title, Some(wanted.send))
    }
}

/// Attio's side of a lead.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attio {
    /// What Attio has certainly taken last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
    /// The lead id that it has certainly taken last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_id: Option<String>,
    /// Attio refuses the result as a value: from now on the status goes alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub result_refused: bool,
    /// Attio refuses the lead id (its attribute is unique, say): from now on the rest goes without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lead_id_refused: bool,
    /// The record is gone: no further PATCH.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Attio refuses until a person acts; retried slowly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// Failures in a row.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub failures: u32,
    /// No PATCH before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// What may still arrive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
    /// What Attio last said against a write; see [`Attio::present_error`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Attio {
    /// Whether nothing is shown until a person acts.
    pub fn is_stuck(&self) -> bool {
        self.gone || self.refused
    }

    /// Whether something that goes with the title was refused, and is left out.
    pub fn leaves_something_out(&self) -> bool {
        self.result_refused || self.lead_id_refused
    }

    /// What Attio says against a write that it still owes, or against what was left out of one. A version before this
    /// one shows a lead without taking the words away: they count only as long as something is amiss.
    pub fn present_error(&self) -> Option<&str> {
        // A pause that Attio asks for is no failure, and holds the lead up all the same.
        let is_amiss = self.failures > 0 || self.retry_at.is_some() || self.is_stuck() || self.leaves_something_out();
        self.error.as_deref().filter(|_| is_amiss)
    }

    /// Whether `showing` is what Attio has certainly taken last.
    pub fn shows(&self, showing: Showing) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.showing == showing)
    }

    /// Whether Attio has taken `showing` last, or a PATCH that says so had no answer.
    pub fn may_show(&self, showing: Showing) -> bool {
        self.shows(showing) || self.doubts.iter().any(|doubt| !doubt.would_change(showing))
    }

    /// From now on `showing` is what Attio has certainly taken last; `None`: what it shows is not known.
    pub fn set_shown(&mut self, showing: Option<Showing>) {
        if self.shown.as_ref().map(|shown| shown.showing) != showing {
            self.shown = showing.map(|showing| Shown { showing, extra: Map::new() });
        }
    }

    /// What Attio refused before says nothing of what is written from now on.
    pub fn give_another_try(&mut self) {
        self.gone = false;
        self.refused = false;
        self.result_refused = false;
        self.lead_id_refused = false;
        self.failures = 0;
        self.retry_at = None;
        self.error = None;
    }

    /// One doubt a showing: the later one's last look comes after everything that the earlier one can still do.
    pub fn doubt(&mut self, showing: Showing, now: Timestamp) {
        self.doubts.retain(|doubt| doubt.would_change(showing));
        self.doubts.push(Doubt {
            title: showing.title,
            send: Some(showing.send),
            at: now,
            checks: 0,
            extra: Map::new(),
        });
        let surplus = self.doubts.len().saturating_sub(DOUBTS_KEPT);
        self.doubts.drain(..surplus);
    }
}
