//! The place in a list that a result is owed.
//!
//! Promises that the newest result which names a stage decides it, and that it is written until Attio has it: writing
//! it twice does no more than once, so that an answer that was lost needs no look.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{aggregate::Lead, alc::Again, outcome::Status};
use crate::{
    clock::{Timestamp, later},
    ids::{RecordId, SendId},
};

/// Of what Attio said last, so many characters are kept.
const ERROR_KEPT: usize = 200;

/// A stage that the record is to have in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Whose result names it.
    pub send: SendId,
    /// The stage's title.
    pub stage: String,
    /// Until when it is tried.
    pub until: Timestamp,
    /// How it ended; `None`: it is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<PlacementEnded>,
    /// Failures in a row.
    #[serde(default)]
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

    fn end(&mut self, ended: PlacementEnded) {
        self.ended = Some(ended);
        (self.failures, self.retry_at, self.refused) = (0, None, false);
    }
}

impl Lead {
    /// A result that was not there `before` puts the record where it says; `stage_of` names the stage, if any: a result
    /// that names none leaves the list alone. What an earlier send came to late says nothing over the present one's
    /// head.
    pub fn owe_placement<'a>(
        &mut self,
        before: Option<&Self>,
        stage_of: impl FnOnce(&str) -> Option<&'a str>,
        keep_trying: Duration,
        now: Timestamp,
    ) {
        let outcome = &self.send.outcome;
        let was_complete = before.and_then(|before| before.outcome_of(outcome.id));
        if outcome.status != Status::Complete
            || was_complete.is_some_and(|before| before.status == Status::Complete)
            || self.forwarding
            || self.joined.is_some()
        {
            return;
        }
        let Some(stage) = outcome.result.as_deref().and_then(stage_of) else { return };
        self.pipeline = Some(Placement {
            send: outcome.id,
            stage: stage.to_owned(),
            until: later(now, keep_trying),
            ended: None,
            failures: 0,
            retry_at: None,
            refused: false,
            gone_from: None,
            last_error: None,
            extra: Map::new(),
        });
    }

    /// When the record is next to be placed.
    pub fn next_placement(&self, now: Timestamp) -> Option<Timestamp> {
        // The lead that speaks for the record has the word.
        let placement = self.pipeline.as_ref().filter(|it| it.is_owed() && self.joined.is_none())?;
        if placement.gone_from == Some(self.shown_at()) {
            return Some(placement.until);
        }
        Some(placement.retry_at.unwrap_or(now).min(placement.until))
    }

    /// Attio has placed the record there, on behalf of that send. Where a merge was told of meanwhile, the record made
    /// of two has not been placed yet.
    pub fn placed(&mut self, send: SendId, record: RecordId) {
        if self.shown_at() == record
            && let Some(placement) = self.owed_placement(send)
        {
            placement.end(PlacementEnded::Placed);
            placement.last_error = None;
        }
    }

    /// Attio did not take it, for all that is known.
    pub fn not_placed(&mut self, send: SendId, failure: PlacementFailure, again: Again, detail: &str) {
        let Some(placement) = self.owed_placement(send) else { return };
        placement.failures = again.count(placement.failures);
        placement.retry_at = Some(again.at);
        placement.last_error = Some(detail.chars().take(ERROR_KEPT).collect());
        match failure {
            PlacementFailure::Later => {}
            PlacementFailure::Refused => placement.refused = true,
            PlacementFailure::Gone(record) => (placement.gone_from, placement.retry_at) = (Some(record), None),
        }
    }

    /// It is not tried any more.
    pub fn give_placement_up(&mut self, send: SendId) {
        if let Some(placement) = self.owed_placement(send) {
            placement.end(PlacementEnded::GivenUp);
        }
    }

    /// What waits only for a next try is tried now; whether it did.
    pub(super) fn try_placement_now(&mut self, now: Timestamp) -> bool {
        let placement = self.pipeline.as_mut().filter(|it| it.is_owed());
        placement.is_some_and(|it| it.retry_at.take_if(|at| *at > now).is_some())
    }

    fn owed_placement(&mut self, send: SendId) -> Option<&mut Placement> {
        self.pipeline.as_mut().filter(|placement| placement.send == send && placement.is_owed())
    }
}
