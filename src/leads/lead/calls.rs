//! The workflows that wait for a lead, and the calls that are owed to them.
//!
//! Promises that each owed call carries what its own send came to, so that a later send of the same record changes
//! nothing of it, and that a callback URL is kept, sealed, for as long as it is owed a call and no longer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::outcome::{Outcome, Reason, Status};
use crate::{
    clock::{Timestamp, later, until},
    ids::SendId,
    sealing::{Fingerprint, Sealed},
};

/// How many may wait for one send.
pub const MOST_WAITING: usize = 100;
/// How many calls may be owed by one lead, over all its sends; the oldest give way. As many as one send can owe, to
/// those that wait for it and to the triggers, because each carries a copy of the result.
const MOST_OWED: usize = 200;
/// How many calls are made at once.
const AT_ONCE: usize = 10;
/// Until then, a 404 or 410 of a workflow may only mean that Attio's own bookkeeping is behind a fast ALC.
pub const BOOKKEEPING: Duration = Duration::from_secs(15 * 60);

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
    pub lead_id: Option<String>,
    /// What is told.
    pub status: Status,
    /// What is told.
    pub result: Option<String>,
    /// What is told.
    pub reason: Option<Reason>,
    /// When it was accepted that this one is told: see [`BOOKKEEPING`].
    pub since: Timestamp,
    /// Until when it is tried.
    pub until: Timestamp,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// Not before then.
    pub due: Timestamp,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Every workflow that waits for this lead, or is owed a call about it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// Wait for the present send.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
    /// Are to be called, oldest first.
    #[serde(default)]
    pub owed: Vec<Owed>,
    /// The end that was last turned into calls.
    #[serde(default)]
    pub noted: Option<(SendId, Status)>,
    /// The last [`Owed::number`].
    #[serde(default)]
    pub last_number: u64,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// It was heard.
    Heard,
    /// 404 or 410: the workflow was not there.
    NobodyThere,
    /// Anything else.
    Failed,
    /// The workflow that was to be called is not there any more.
    Pointless,
}

/// One more than [`MOST_WAITING`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many wait for this send")]
pub struct TooManyWaiting;

impl Calls {
    /// Lets a workflow wait for the present send.
    pub fn let_wait(&mut self, hook: Hook, now: Timestamp) -> Result<(), TooManyWaiting> {
        if self.waiting.len() >= MOST_WAITING {
            return Err(TooManyWaiting);
        }
        self.waiting.push(Waiting { hook, since: now, extra: Map::new() });
        Ok(())
    }

    /// Owes a workflow a call about a send that has come to `outcome`, from `due` on for as long as `keep_trying`.
    pub fn owe(
        &mut self,
        recipient: Recipient,
        outcome: &Outcome,
        since: Timestamp,
        due: Timestamp,
        keep_trying: Duration,
    ) {
        self.last_number += 1;
        self.owed.push(Owed {
            number: self.last_number,
            to: StoredRecipient { recipient, extra: Map::new() },
            send: outcome.id,
            lead_id: outcome.lead_id.clone(),
            status: outcome.status,
            result: outcome.result.clone(),
            reason: outcome.reason,
            since,
            until: later(due, keep_trying),
            failures: 0,
            due,
            extra: Map::new(),
        });
        let surplus = self.owed.len().saturating_sub(MOST_OWED);
        self.owed.drain(..surplus);
    }

    /// The calls that are to be made at `now`, the longest due first, no more than can be made at once.
    pub fn due(&self, now: Timestamp) -> Vec<Owed> {
        let mut due: Vec<_> = self.owed.iter().filter(|owed| owed.due <= now).cloned().collect();
        due.sort_by_key(|owed| owed.due);
        due.truncate(AT_ONCE);
        due
    }

    /// What is still owed of this send's end tells from now on that it has come to `outcome`: another end would be
    /// wrong by now.
    pub fn restate(&mut self, outcome: &Outcome) {
        for owed in self.owed.iter_mut().filter(|owed| owed.send == outcome.id) {
            owed.lead_id.clone_from(&outcome.lead_id);
            owed.status = outcome.status;
            owed.result.clone_from(&outcome.result);
            owed.reason = outcome.reason;
        }
    }

    /// When the next call is to be made.
    pub fn next(&self) -> Option<Timestamp> {
        self.owed.iter().map(|owed| owed.due).min()
    }

    /// Until when anything is owed.
    pub fn owed_until(&self) -> Option<Timestamp> {
        self.owed.iter().map(|owed| owed.until).max()
    }

    /// What came of a call; if it is to be made again, at `retry_at`.
    pub fn called(&mut self, number: u64, outcome: CallOutcome, retry_at: Timestamp, now: Timestamp) {
        self.owed.retain_mut(|owed| {
            if owed.number != number {
                return true;
            }
            let over = match outcome {
                CallOutcome::Heard | CallOutcome::Pointless => true,
                CallOutcome::NobodyThere => until(owed.since, now) >= BOOKKEEPING,
                CallOutcome::Failed => false,
            };
            owed.failures = owed.failures.saturating_add(1);
            // The last try is at the very end.
            owed.due = retry_at.min(owed.until);
            !over && now < owed.until
        });
    }
}
