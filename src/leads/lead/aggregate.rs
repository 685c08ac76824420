//! The lead itself: what is stored of one person record.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    calls::Calls,
    history::History,
    known::KnownPerson,
    note::Notes,
    outcome::Status,
    pipeline::Placement,
    send::{EarlierSend, PresentSend},
    shown::{Attio, Title},
};
use crate::{
    clock::Timestamp,
    ids::{EntryId, RecordId},
    store::{Aggregate, Kind},
};

/// Earlier sends remembered; the ids of older ones are forgotten.
const EARLIER_KEPT: usize = 20;
/// The label of a lead that only forwards: no status that the interface shows or the connection waits for.
const FORWARDING: &str = "forwarding";

/// One person record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// The record in Attio.
    pub record_id: RecordId,
    /// The present send.
    pub send: PresentSend,
    /// Sends before it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierSend>,
    /// What Attio has been shown.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub attio: Attio,
    /// Digests of the `webhook-id`s that have been counted, oldest first: a repeat has no second effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<String>,
    /// Entries of the list that sends by itself which have been counted, oldest first: each asks once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<EntryId>,
    /// Who the person is, as Attio had it for the last entry. Not for long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownPerson>,
    /// Workflows that wait for an end, or are owed one.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
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
    /// No press has sent it: merges made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forwarding: bool,
    /// No press of this workspace sent it: ALC's callback alone has named it. See [`Lead::is_unproven`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// The notes that results are owed on the record.
    #[serde(default, skip_serializing_if = "Notes::is_empty")]
    pub notes: Notes,
    /// Where the last result puts the record in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<Placement>,
    /// What happened to it, for operators.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub history: History,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Aggregate for Lead {
    const KIND: Kind = Kind::Lead;
    const SCHEMA: u32 = 2;

    /// A version that knows of no person to be read would take the send for one whose person was erased, and end it.
    fn schema(&self) -> u32 {
        if self.send.to_read.is_some() { 2 } else { 1 }
    }

    fn status(&self) -> &'static str {
        if self.forwarding { FORWARDING } else { self.send.outcome.status.name() }
    }

    fn created_at(&self) -> Timestamp {
        self.send.outcome.created_at
    }

    /// A result is to be written to Attio. Every step before that needs ALC, which may take its time; and a bulk that
    /// has just been sent is owed as many a Pending, for which no result is to wait.
    fn is_urgent(&self) -> bool {
        let is_finished = !self.send.outcome.status.is_live();
        is_finished && self.is_to_be_shown() && self.wanted().is_some_and(|wanted| wanted.title != Title::Pending)
    }
}

impl Lead {
    /// Every label under which the store keeps leads; see [`Aggregate::status`].
    pub fn labels() -> Vec<&'static str> {
        Status::ALL.into_iter().map(Status::name).chain([FORWARDING]).collect()
    }

    /// A lead with its first send.
    pub fn new(record_id: RecordId, send: PresentSend) -> Self {
        Self {
            record_id,
            send,
            earlier: Vec::new(),
            attio: Attio::default(),
            callbacks: Vec::new(),
            entries: Vec::new(),
            known: None,
            calls: Calls::default(),
            attio_record: None,
            merged_into: None,
            joined: None,
            forwarding: false,
            adopted: false,
            notes: Notes::default(),
            pipeline: None,
            history: History::default(),
            extra: Map::new(),
        }
    }

    /// Begins another send on a lead whose last one has finished.
    pub fn send_again(&mut self, next: PresentSend) {
        debug_assert!(!self.send.outcome.status.is_live(), "a live send is joined, not followed");
        let last = std::mem::replace(&mut self.send, next);
        self.send.beside_another = last.beside_another;
        if !std::mem::take(&mut self.forwarding) {
            self.earlier.push(last.into_earlier());
        }
        // The lead that spoke for the record is not there any more: else that one would have been sent again.
        self.joined = None;
        let surplus = self.earlier.len().saturating_sub(EARLIER_KEPT);
        self.earlier.drain(..surplus);
        // A person may have restored the record, or mended the attribute: a new press deserves a new try.
        self.attio.give_another_try();
    }

    /// Whether an earlier send has ALC's lead of that id, or ALC had it before the present send began.
    pub fn is_of_earlier_send(&self, lead_id: &str) -> bool {
        self.earlier.iter().any(|earlier| earlier.outcome.lead_id.as_deref() == Some(lead_id))
            || self.send.listed_before.iter().any(|listed| listed == lead_id)
    }

    /// Whether ALC may have a lead of an earlier send whose id this service never learnt.
    pub fn has_unlearnt_earlier_send(&self) -> bool {
        self.earlier.iter().any(|earlier| earlier.unlearnt)
    }
}
