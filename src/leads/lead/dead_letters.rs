//! What of a lead was given up: its send, a write to Attio, calls to workflows.
//!
//! Promises that each has an id which names exactly what was given up, so that a replay of it is done once, and a
//! reason that operators can filter by.

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::{
    aggregate::Lead,
    mend::NotAgain,
    outcome::{Reason, Status},
    owed::Recipient,
    shown::Showing,
};
use crate::{
    clock::Timestamp,
    ids::{RecordId, SendId, WorkspaceId},
};

/// What was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LetterKind {
    /// A send has failed.
    Lead,
    /// Attio does not show what it is to show.
    AttioWrite,
    /// A workflow was not told.
    WorkflowCall,
}

impl LetterKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Lead, Self::AttioWrite, Self::WorkflowCall];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::AttioWrite => "attio-write",
            Self::WorkflowCall => "workflow-call",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Which of a lead's dead letters; travels as `lead.<send>`, `attio.<send>`, `call.<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterId {
    /// The send that failed.
    Lead(SendId),
    /// Of which send Attio shows not all.
    AttioWrite(SendId),
    /// The number of the call.
    WorkflowCall(u64),
}

/// The text is no id of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of a dead letter as the list has it, such as lead.<uuid>, attio.<uuid> or call.3")]
pub struct BadLetterId;

impl LetterId {
    /// Its kind.
    pub const fn kind(self) -> LetterKind {
        match self {
            Self::Lead(_) => LetterKind::Lead,
            Self::AttioWrite(_) => LetterKind::AttioWrite,
            Self::WorkflowCall(_) => LetterKind::WorkflowCall,
        }
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lead(send) => write!(f, "lead.{send}"),
            Self::AttioWrite(send) => write!(f, "attio.{send}"),
            Self::WorkflowCall(number) => write!(f, "call.{number}"),
        }
    }
}

impl FromStr for LetterId {
    type Err = BadLetterId;

    fn from_str(text: &str) -> Result<Self, BadLetterId> {
        let (kind, id) = text.split_once('.').ok_or(BadLetterId)?;
        let send = |id: &str| id.parse().map_err(|_| BadLetterId);
        match kind {
            "lead" => Ok(Self::Lead(send(id)?)),
            "attio" => Ok(Self::AttioWrite(send(id)?)),
            "call" => Ok(Self::WorkflowCall(id.parse().map_err(|_| BadLetterId)?)),
            _ => Err(BadLetterId),
        }
    }
}

impl Serialize for LetterId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Something that was given up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadLetter {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// Of which record.
    pub record_id: RecordId,
    /// Which.
    pub id: LetterId,
    /// What was given up.
    pub kind: LetterKind,
    /// Why.
    pub reason: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// What was said last, with nothing personal in it.
    pub last_error: Option<String>,
    /// `None`: it can be replayed; else why not, and what to do instead.
    pub advice: Option<&'static str>,
}

impl Lead {
    /// Everything of this lead that was given up.
    pub fn dead_letters(&self, workspace: WorkspaceId) -> Vec<DeadLetter> {
        let (outcome, mut letters) = (&self.send.outcome, Vec::new());
        for (id, reason) in self.letters() {
            let (since, said, advice) = match id {
                LetterId::Lead(send) => {
                    let since = self.send.finished_at.unwrap_or(outcome.updated_at);
                    let advice = self.may_be_sent_again(send).err().map(NotAgain::advice);
                    (since, outcome.last_error.as_deref(), advice)
                }
                LetterId::AttioWrite(_) => {
                    (outcome.updated_at, self.attio.present_error().or(outcome.last_error.as_deref()), None)
                }
                LetterId::WorkflowCall(number) => {
                    let call = self.calls.given_up.iter().find(|given_up| given_up.call.number == number);
                    (call.map_or(outcome.updated_at, |call| call.at), None, None)
                }
            };
            letters.push(DeadLetter {
                workspace_id: workspace,
                record_id: self.record_id,
                id,
                kind: id.kind(),
                reason,
                since,
                last_error: said.map(str::to_owned),
                advice,
            });
        }
        letters
    }

    /// What was given up of it since it was `before`; `None`: it has just been made. A letter that is there again after
    /// its replay is one more.
    pub fn given_up_since(&self, before: Option<&Self>) -> Vec<(LetterKind, &'static str)> {
        let known = before.map(Self::letters).unwrap_or_default();
        let now = self.letters().into_iter();
        now.filter(|letter| !known.contains(letter)).map(|(id, reason)| (id.kind(), reason)).collect()
    }

    /// Each letter and its reason.
    fn letters(&self) -> Vec<(LetterId, &'static str)> {
        let outcome = &self.send.outcome;
        let is_failed = outcome.status == Status::Failed && !self.forwarding && self.joined.is_none();
        let lead = is_failed.then(|| (LetterId::Lead(outcome.id), outcome.reason.map_or("unknown", Reason::name)));
        let write = self.attio_write_given_up().map(|(showing, reason)| (LetterId::AttioWrite(showing.send), reason));
        let calls = self.calls.given_up.iter();
        let calls = calls.map(|given_up| (LetterId::WorkflowCall(given_up.call.number), given_up.why.name()));
        lead.into_iter().chain(write).chain(calls).collect()
    }

    /// What Attio is to show and does not, or not all of it, because it has refused; and why.
    pub fn attio_write_given_up(&self) -> Option<(Showing, &'static str)> {
        let wanted = self.wanted().filter(|_| !self.is_of_another_workspace())?;
        let shows = self.attio.shows(wanted);
        let reason = match &self.attio {
            attio if attio.gone && !shows => "record-gone",
            attio if attio.refused && !shows => "refused",
            attio if attio.result_refused && shows => "result-refused",
            attio if attio.lead_id_refused && shows => "lead-id-refused",
            _ => return None,
        };
        Some((wanted, reason))
    }
}

/// The name of a workflow that is called, without its URL.
pub(super) fn recipient_name(recipient: &Recipient) -> (&'static str, Option<String>) {
    match recipient {
        Recipient::Step(_) => ("step", None),
        Recipient::Trigger(activation) => ("trigger", Some(activation.clone())),
    }
}
