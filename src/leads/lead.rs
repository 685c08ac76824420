//! The aggregate: one person record of a workspace, its present send, and what Attio has been shown of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    send::{EarlierSend, Reason, Send, Status},
    shown::Attio,
    tell::Calls,
};
use crate::{
    ids::{RecordId, SendId},
    store::{Aggregate, Kind},
};

/// Earlier sends remembered; the ids of older ones are forgotten.
pub(super) const EARLIER_KEPT: usize = 20;
/// The label of what only forwards: no status that the interface shows or the connection waits for.
const FORWARDING: &str = "forwarding";
/// Callback ids remembered.
pub(super) const CALLBACKS_KEPT: usize = 20;

/// One person record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// The record in Attio.
    pub record_id: RecordId,
    /// The present send.
    pub send: Send,
    /// Sends before it, oldest first.
    #[serde(default)]
    pub earlier: Vec<EarlierSend>,
    /// What Attio has been shown.
    #[serde(default)]
    pub attio: Attio,
    /// Digests of the `webhook-id`s that have been counted, oldest first: a repeat has no second effect.
    #[serde(default)]
    pub callbacks: Vec<String>,
    /// Workflows that wait for an end, or are owed one.
    #[serde(default)]
    pub calls: Calls,
    /// The record that shows it, if merges have made another one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attio_record: Option<RecordId>,
    /// What its record was merged into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<RecordId>,
    /// Under which record the lead is that speaks for this one's; of itself it shows nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<RecordId>,
    /// Nobody has sent it: merges made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forwarding: bool,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Aggregate for Lead {
    const KIND: Kind = Kind::Lead;
    const SCHEMA: u32 = 1;

    fn status(&self) -> &'static str {
        if self.forwarding { FORWARDING } else { self.send.status.name() }
    }

    fn created_at(&self) -> Timestamp {
        self.send.created_at
    }
}

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

impl Lead {
    /// A lead with its first send.
    pub fn new(record_id: RecordId, send: Send) -> Self {
        Self {
            record_id,
            send,
            earlier: Vec::new(),
            attio: Attio::default(),
            callbacks: Vec::new(),
            calls: Calls::default(),
            attio_record: None,
            merged_into: None,
            joined: None,
            forwarding: false,
            extra: Map::new(),
        }
    }

    /// As the interface shows it.
    pub fn view(&self) -> LeadView {
        LeadView {
            record_id: self.record_id,
            lead_id: self.send.lead_id.clone(),
            status: self.send.status,
            reason: self.send.reason,
            result: self.send.result.clone(),
            attio: self.attio_view(),
            attempts: self.send.attempts,
            last_error: self.send.last_error.clone(),
            created_at: self.send.created_at,
            updated_at: self.send.updated_at,
        }
    }

    /// The send of that id, present or earlier, as the interface shows it.
    pub fn view_of(&self, send: SendId) -> Option<LeadView> {
        if self.send.id == send {
            return Some(self.view());
        }
        let earlier = self.earlier.iter().find(|earlier| earlier.id == send)?;
        Some(LeadView {
            record_id: self.record_id,
            lead_id: earlier.lead_id.clone(),
            status: earlier.status,
            reason: earlier.reason,
            result: earlier.result.clone(),
            // Attio shows the present send; of an earlier one nothing is owed any more.
            attio: AttioView::Synced,
            attempts: earlier.attempts,
            last_error: earlier.last_error.clone(),
            created_at: earlier.created_at,
            updated_at: earlier.updated_at,
        })
    }

    /// Whether this send or one before it has ALC's lead of that id, or ALC had it before this send began.
    pub(super) fn is_of_earlier_send(&self, lead_id: &str) -> bool {
        self.earlier.iter().any(|earlier| earlier.lead_id.as_deref() == Some(lead_id))
            || self.send.listed_before.iter().any(|listed| listed == lead_id)
    }

    pub(super) fn has_unlearnt_earlier_send(&self) -> bool {
        self.earlier.iter().any(|earlier| earlier.unlearnt)
    }

    fn attio_view(&self) -> AttioView {
        if self.attio.is_stuck() && self.wanted().is_some_and(|wanted| self.attio.shown != Some(wanted)) {
            AttioView::Failed
        } else if self.send.status == Status::Queued || self.is_to_be_shown() {
            AttioView::Scheduled
        } else {
            AttioView::Synced
        }
    }
}
