//! A send: one attempt of a person to have ALC talk to a lead, with an id of its own.
//!
//! Promises that `complete` is final, that `failed` gives way only to ALC's own later result, and that name and phone
//! are gone as soon as ALC has them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ids::{ConnectionId, SendId, WebhookId},
    sealing::Sealed,
};

/// Where a send stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Ours; ALC may or may not have it yet.
    Queued,
    /// ALC has it.
    Pending,
    /// ALC has given its result. Final.
    Complete,
    /// Ended without a result; see [`Reason`].
    Failed,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Pending, Self::Complete, Self::Failed];

    /// The word that the interface and the store's index use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Pending => "pending",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Queued or pending.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Queued | Self::Pending)
    }
}

/// Why a send failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// ALC refuses it for good.
    Rejected,
    /// Not at ALC within `LEADS__SEND_DEADLINE`.
    NotSent,
    /// No result within `LEADS__DEADLINE`.
    TimedOut,
    /// Another send of a merged record took its place.
    Superseded,
    /// The record is gone from Attio.
    RecordDeleted,
    /// The workspace disconnected and did not come back within a day.
    Disconnected,
}

impl Reason {
    /// The word that the interface uses, and that Attio shows as the result.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::NotSent => "not-sent",
            Self::TimedOut => "timed-out",
            Self::Superseded => "superseded",
            Self::RecordDeleted => "record-deleted",
            Self::Disconnected => "disconnected",
        }
    }
}

/// Name and phone number, until ALC has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// 1 to 200 characters.
    pub name: Sealed,
    /// E.164.
    pub phone_number: Sealed,
}

/// The present send of a lead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Send {
    /// `Idempotency-Key` of every attempt.
    pub id: SendId,
    /// The connection under which it was made.
    pub connection: Option<ConnectionId>,
    /// The webhook that stood then: it answers until this send has finished.
    pub webhook: Option<WebhookId>,
    /// Erased once ALC has them or nobody will be asked any more.
    pub person: Option<Person>,
    /// Where it stands.
    pub status: Status,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// ALC's id of the lead.
    pub lead_id: Option<String>,
    /// ALC's word, or nothing yet.
    pub result: Option<String>,
    /// When the send was asked for.
    pub created_at: Timestamp,
    /// When anything that the interface shows last changed.
    pub updated_at: Timestamp,
    /// When ALC was first known to have it.
    pub accepted_at: Option<Timestamp>,
    /// When it became complete or failed.
    pub finished_at: Option<Timestamp>,
    /// Requests to ALC begun.
    pub attempts: u32,
    /// A request to ALC is under way, or was when a worker vanished.
    #[serde(default)]
    pub under_way: bool,
    /// An attempt had no clear answer and ALC has not been asked since.
    #[serde(default)]
    pub in_doubt: bool,
    /// Some attempt had no clear answer: from then on a 409 means that ALC has it.
    #[serde(default)]
    pub ever_in_doubt: bool,
    /// What ALC listed for the record before the first attempt: not this send's.
    #[serde(default)]
    pub listed_before: Vec<String>,
    /// [`Send::listed_before`] has been asked for, or need not be.
    #[serde(default)]
    pub baseline_taken: bool,
    /// Failures in a row at ALC.
    #[serde(default)]
    pub failures: u32,
    /// ALC is not asked before then.
    pub retry_at: Option<Timestamp>,
    /// Look-ups of a pending lead so far.
    #[serde(default)]
    pub polls: u32,
    /// The next look-up of a pending lead.
    pub poll_at: Option<Timestamp>,
    /// Until then the caller of a send that another worker has in hand is told of a refusal.
    #[serde(default)]
    pub waited_until: Option<Timestamp>,
    /// Refused inside the request: the caller was told, Attio stays as it was.
    #[serde(default)]
    pub told_in_request: bool,
    /// The last thing that went wrong, at ALC or at Attio.
    pub last_error: Option<String>,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What is remembered of a send that another one followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlierSend {
    /// Its id.
    pub id: SendId,
    /// ALC's id, if it was ever learnt.
    pub lead_id: Option<String>,
    /// ALC may have a lead of it whose id nobody knows.
    #[serde(default)]
    pub unlearnt: bool,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// ALC's word.
    pub result: Option<String>,
    /// Refused inside its request: Attio shows nothing of it.
    #[serde(default)]
    pub told_in_request: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Requests to ALC begun.
    pub attempts: u32,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

impl Send {
    /// A queued send that nobody has attempted.
    pub fn new(id: SendId, now: Timestamp) -> Self {
        Self {
            id,
            connection: None,
            webhook: None,
            person: None,
            status: Status::Queued,
            reason: None,
            lead_id: None,
            result: None,
            created_at: now,
            updated_at: now,
            accepted_at: None,
            finished_at: None,
            attempts: 0,
            under_way: false,
            in_doubt: false,
            ever_in_doubt: false,
            listed_before: Vec::new(),
            baseline_taken: false,
            failures: 0,
            retry_at: None,
            polls: 0,
            poll_at: None,
            waited_until: None,
            told_in_request: false,
            last_error: None,
            extra: Map::new(),
        }
    }

    /// What is remembered of it once another follows.
    pub fn into_earlier(self) -> EarlierSend {
        EarlierSend {
            // What certainly never arrived has no lead at ALC; what was refused after an attempt without an answer may.
            unlearnt: self.lead_id.is_none() && (self.accepted_at.is_some() || self.ever_in_doubt || self.under_way),
            id: self.id,
            lead_id: self.lead_id,
            status: self.status,
            reason: self.reason,
            result: self.result,
            told_in_request: self.told_in_request,
            created_at: self.created_at,
            updated_at: self.updated_at,
            attempts: self.attempts,
            last_error: self.last_error,
        }
    }

    pub(super) fn finish(&mut self, status: Status, reason: Option<Reason>, now: Timestamp) {
        self.status = status;
        self.reason = reason;
        self.finished_at = Some(now);
        self.updated_at = now;
        self.person = None;
        self.in_doubt = false;
        self.retry_at = None;
        self.poll_at = None;
    }
}
