//! A lead as the interface shows it.

use serde::Serialize;

use super::{
    aggregate::Lead,
    outcome::{Outcome, Reason, Status},
};
use crate::{
    clock::Timestamp,
    ids::{RecordId, SendId},
};

/// A lead as `GET /v1/leads/{record_id}` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeadView {
    /// The record in Attio.
    pub record_id: RecordId,
    /// ALC's id, once known.
    pub lead_id: Option<String>,
    /// Where the send stands.
    pub status: Status,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// ALC's word.
    pub result: Option<String>,
    /// Whether Attio shows that.
    pub attio: AttioView,
    /// Requests to ALC begun.
    pub attempts: u32,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// When the send was asked for.
    pub created_at: Timestamp,
    /// When any of this last changed.
    pub updated_at: Timestamp,
}

/// Whether Attio shows the lead as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttioView {
    /// It does.
    Synced,
    /// It will.
    Scheduled,
    /// It refuses, or the record is gone; see `last_error`.
    Failed,
}

impl LeadView {
    fn of(record_id: RecordId, outcome: &Outcome, attio: AttioView) -> Self {
        let outcome = outcome.clone();
        Self {
            record_id,
            lead_id: outcome.lead_id,
            status: outcome.status,
            reason: outcome.reason,
            result: outcome.result,
            attio,
            attempts: outcome.attempts,
            last_error: outcome.last_error,
            created_at: outcome.created_at,
            updated_at: outcome.updated_at,
        }
    }
}

impl Lead {
    /// As the interface shows it.
    pub fn view(&self) -> LeadView {
        let last_error = self.last_error().map(str::to_owned);
        LeadView { last_error, ..LeadView::of(self.record_id, &self.send.outcome, self.attio_view()) }
    }

    /// The send of that id, present or earlier, as the interface shows it.
    pub fn view_of(&self, send: SendId) -> Option<LeadView> {
        if self.send.outcome.id == send {
            return Some(self.view());
        }
        let earlier = self.earlier.iter().find(|earlier| earlier.outcome.id == send)?;
        // Attio shows the present send, or what came of an earlier one until the present one has something to show.
        let is_owed = self.wanted().is_some_and(|wanted| wanted.send == send && !self.attio.shows(wanted));
        let attio = if is_owed { AttioView::Scheduled } else { AttioView::Synced };
        Some(LeadView::of(self.record_id, &earlier.outcome, attio))
    }

    /// What the send of that id, present or earlier, has come to.
    pub fn outcome_of(&self, send: SendId) -> Option<&Outcome> {
        let earlier = self.earlier.iter().map(|earlier| &earlier.outcome);
        std::iter::once(&self.send.outcome).chain(earlier).find(|outcome| outcome.id == send)
    }

    fn attio_view(&self) -> AttioView {
        if self.attio.is_stuck() && self.wanted().is_some_and(|wanted| !self.attio.shows(wanted)) {
            AttioView::Failed
        } else if self.send.outcome.status == Status::Queued || self.is_to_be_shown() {
            AttioView::Scheduled
        } else {
            AttioView::Synced
        }
    }
}
