//! A lead as the interface shows it.

use serde::Serialize;

use super::{
    aggregate::Lead,
    note::{Note, NoteEnded},
    outcome::{Outcome, Reason, Status},
    pipeline::{Placement, PlacementEnded},
    trying::Trying,
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
    /// The note about its result, where one is owed or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Box<NoteView>>,
    /// Where its result puts the record in a list, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<Box<PlacementView>>,
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

/// How far something is that a result is owed in Attio besides the record itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwedView {
    /// Attio has it.
    Written,
    /// It will.
    Scheduled,
    /// It refuses, and is asked again slowly; or the record is gone.
    Failed,
    /// It is not tried any more.
    GivenUp,
}

/// The note about a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoteView {
    /// How far it is.
    pub state: OwedView,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// A place in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlacementView {
    /// How far it is.
    pub state: OwedView,
    /// The stage's title.
    pub stage: String,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl OwedView {
    /// Of what has not ended; `is_gone`: the record is.
    fn of(trying: &Trying, is_gone: bool) -> Self {
        if trying.refused || trying.gone_from.is_some() || is_gone { Self::Failed } else { Self::Scheduled }
    }
}

impl NoteView {
    fn of(note: &Note, is_gone: bool) -> Self {
        let state = match note.ended {
            Some(NoteEnded::Written) => OwedView::Written,
            Some(NoteEnded::GivenUp) => OwedView::GivenUp,
            None => OwedView::of(&note.trying, is_gone),
        };
        Self { state, last_error: note.trying.last_error.clone() }
    }
}

impl PlacementView {
    fn of(placement: &Placement, is_gone: bool) -> Self {
        let state = match placement.ended {
            Some(PlacementEnded::Placed) => OwedView::Written,
            Some(PlacementEnded::GivenUp) => OwedView::GivenUp,
            None => OwedView::of(&placement.trying, is_gone),
        };
        Self { state, stage: placement.stage.clone(), last_error: placement.trying.last_error.clone() }
    }
}

impl LeadView {
    fn of(lead: &Lead, outcome: &Outcome, attio: AttioView) -> Self {
        let (record_id, is_gone) = (lead.record_id, lead.attio.gone);
        let note = lead.notes.of(outcome.id).map(|note| Box::new(NoteView::of(note, is_gone)));
        let pipeline = lead.pipeline.as_ref().filter(|it| it.send == outcome.id);
        let pipeline = pipeline.map(|it| Box::new(PlacementView::of(it, is_gone)));
        let outcome = outcome.clone();
        Self {
            record_id,
            lead_id: outcome.lead_id,
            status: outcome.status,
            reason: outcome.reason,
            result: outcome.result,
            attio,
            note,
            pipeline,
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
        LeadView { last_error, ..LeadView::of(self, &self.send.outcome, self.attio_view()) }
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
        Some(LeadView::of(self, &earlier.outcome, attio))
    }

    /// What the send of that id, present or earlier, has come to.
    pub fn outcome_of(&self, send: SendId) -> Option<&Outcome> {
        let earlier = self.earlier.iter().map(|earlier| &earlier.outcome);
        std::iter::once(&self.send.outcome).chain(earlier).find(|outcome| outcome.id == send)
    }

    /// Whether a result is still owed something in Attio besides what the record shows.
    pub fn owes_more(&self) -> bool {
        self.notes.iter().any(|note| note.is_owed() && self.is_told(note.send))
            || self.pipeline.as_ref().is_some_and(Placement::is_owed)
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
