//! A workflow that waits for a lead, and a call that one is owed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::outcome::{Outcome, Reason, Status};
use crate::{
    clock::Timestamp,
    ids::SendId,
    sealing::{Fingerprint, Sealed},
};

/// A callback URL of one press.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The URL.
    pub url: Sealed,
    /// Tells whether two are the same without opening them.
    pub print: Fingerprint,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A callback URL that waits for the present send to finish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Where.
    pub hook: Hook,
    /// When it was accepted.
    pub since: Timestamp,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A workflow that is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// A step of a workflow.
    Step(Hook),
    /// A trigger of the workspace, by its activation: its URL is the workspace's to keep, and to forget.
    Trigger(String),
}

/// A recipient as it is stored: beside the one key that says which kind it is, a newer version may keep others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredRecipient {
    /// The recipient.
    #[serde(flatten)]
    pub recipient: Recipient,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A call that is to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    /// Tells the calls of a lead apart.
    pub number: u64,
    /// The workflow that is called.
    pub to: StoredRecipient,
    /// The send that has ended.
    pub send: SendId,
    /// What is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_id: Option<String>,
    /// What is told.
    pub status: Status,
    /// What is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When it was accepted that this one is told: see [`super::calls::BOOKKEEPING`].
    pub since: Timestamp,
    /// Until when it is tried.
    pub until: Timestamp,
    /// Failures in a row.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub failures: u32,
    /// Not before then.
    pub due: Timestamp,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Owed {
    /// It tells from now on that its send has come to `outcome`.
    pub(super) fn restate(&mut self, outcome: &Outcome) {
        self.lead_id.clone_from(&outcome.lead_id);
        self.status = outcome.status;
        self.result.clone_from(&outcome.result);
        self.reason = outcome.reason;
    }
}
