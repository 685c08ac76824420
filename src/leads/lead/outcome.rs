//! What a send has come to, as everybody is told it: the interface, Attio, and the workflows.
//!
//! One form for the present send and for earlier ones.

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, ids::SendId};

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
    /// The record that a list entry asked for has no valid phone number.
    NoPhoneNumber,
    /// The record that a list entry asked for has no name, and ALC takes no lead without one.
    NoName,
    /// The workspace disconnected and did not come back within a day.
    Disconnected,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Rejected,
        Self::NotSent,
        Self::TimedOut,
        Self::Superseded,
        Self::RecordDeleted,
        Self::Disconnected,
        Self::NoPhoneNumber,
        Self::NoName,
    ];

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The word that the interface uses, and that Attio shows as the result.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::NotSent => "not-sent",
            Self::TimedOut => "timed-out",
            Self::Superseded => "superseded",
            Self::RecordDeleted => "record-deleted",
            Self::Disconnected => "disconnected",
            Self::NoPhoneNumber => "no-phone-number",
            Self::NoName => "no-name",
        }
    }
}

/// What a send has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The send's id, and the `Idempotency-Key` of every attempt.
    pub id: SendId,
    /// ALC's id of the lead, if it was ever learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_id: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// ALC's word, or nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Refused inside the request: the caller was told, Attio stays as it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told_in_request: bool,
    /// When the send was asked for.
    pub created_at: Timestamp,
    /// When anything that the interface shows last changed.
    pub updated_at: Timestamp,
    /// Requests to ALC begun.
    pub attempts: u32,
    /// The last thing that went wrong, at ALC or at Attio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Outcome {
    /// Whether ALC's result, should it come, is this send's end.
    pub fn gives_way(&self) -> bool {
        match self.status {
            Status::Queued | Status::Pending => true,
            Status::Complete => false,
            Status::Failed => !matches!(self.reason, Some(Reason::Superseded | Reason::RecordDeleted)),
        }
    }
}
