//! Who waits for a send's end, and what is still owed to them. Pure; the calls themselves are in `telling`.
//!
//! Promises that whoever waited for a send is owed its end and no other's: each owed call carries what its own send came
//! to, so a later send of the same record changes nothing of it. A callback URL is kept, sealed, for as long as it is
//! owed a call and no longer. Nothing is owed before the send has finished.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    lead::{Lead, LeadView},
    send::{Reason, Status},
};
use crate::{
    clock::{later, until},
    ids::SendId,
    sealing::{Fingerprint, Sealed},
};

/// How many may wait for one send.
pub const MOST_WAITING: usize = 100;
/// How many calls may be owed by one lead, over all its sends; the oldest give way.
const MOST_OWED: usize = 500;
/// How many calls are made at once.
const AT_ONCE: usize = 10;
/// Until then, "nobody there" may only mean that the caller's own bookkeeping is behind a fast ALC.
pub const BOOKKEEPING: Duration = Duration::from_secs(15 * 60);

/// A callback URL of one press.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The URL.
    pub url: Sealed,
    /// Tells whether two are the same without opening them.
    pub print: Fingerprint,
}

/// Somebody who waits for the present send to finish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Where.
    pub hook: Hook,
    /// When it was accepted.
    pub since: Timestamp,
}

/// Who is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// A step of a workflow.
    Step(Hook),
    /// A trigger of the workspace, by its activation: its URL is the workspace's to keep, and to forget.
    Trigger(String),
}

/// A call that is to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    /// Tells the calls of a lead apart.
    pub number: u64,
    /// Who is called.
    pub to: Recipient,
    /// Whose end is told.
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

/// Everybody who waits for this lead, or is owed a call about it.
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
pub enum TellOutcome {
    /// It was heard.
    Heard,
    /// Nobody was there.
    NobodyThere,
    /// Anything else.
    Failed,
    /// There is nobody to be told any more.
    Pointless,
}

/// One more than [`MOST_WAITING`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many wait for this send")]
pub struct TooManyWaiting;

impl Lead {
    /// Somebody waits for the present send.
    pub fn await_end(&mut self, hook: Hook, now: Timestamp) -> Result<(), TooManyWaiting> {
        if self.calls.waiting.len() >= MOST_WAITING {
            return Err(TooManyWaiting);
        }
        self.calls.waiting.push(Waiting { hook, since: now });
        Ok(())
    }

    /// Whether the present send's end is still to be turned into calls. `triggers_since`: since when the workspace's
    /// oldest trigger has been there; one that came after the end is not told of it.
    pub fn is_end_to_be_noted(&self, triggers_since: Option<Timestamp>) -> bool {
        if self.forwarding {
            // Nobody sent it: it has no end to tell of.
            return false;
        }
        let Some(finished) = self.send.finished_at.filter(|_| !self.send.status.is_live()) else { return false };
        self.calls.noted != Some((self.send.id, self.send.status))
            && (!self.calls.waiting.is_empty() || triggers_since.is_some_and(|since| since <= finished))
    }

    /// Turns the present send's end, if it has one, into calls: to who waits, and to these triggers. Once an end; a
    /// failure that gave way to ALC's own result is another end.
    pub fn note_end<'a>(&mut self, triggers: impl IntoIterator<Item = (&'a str, Timestamp)>, keep_trying: Duration) {
        let end = (self.send.id, self.send.status);
        let ended = !end.1.is_live() && !self.forwarding;
        let Some(finished) = self.send.finished_at.filter(|_| ended) else { return };
        if self.calls.noted == Some(end) {
            return;
        }
        self.calls.noted = Some(end);
        let (view, created_at) = (self.view(), self.send.created_at);
        // What is still owed of an end that gave way would be wrong by now.
        for owed in self.calls.owed.iter_mut().filter(|owed| owed.send == end.0) {
            owed.tells(&view);
            (owed.due, owed.until) = (finished, later(finished, keep_trying));
        }
        for waiting in std::mem::take(&mut self.calls.waiting) {
            self.owe(Recipient::Step(waiting.hook), end.0, &view, waiting.since, finished, keep_trying);
        }
        for (activation, _) in triggers.into_iter().filter(|(_, since)| *since <= finished) {
            let to = Recipient::Trigger(activation.to_owned());
            self.calls.owed.retain(|owed| owed.send != end.0 || owed.to != to);
            self.owe(to, end.0, &view, created_at, finished, keep_trying);
        }
    }

    /// Tells somebody of a send that has finished, perhaps again. `view` is what that send came to.
    pub fn tell_again(&mut self, hook: Hook, send: SendId, view: &LeadView, keep_trying: Duration, now: Timestamp) {
        self.owe(Recipient::Step(hook), send, view, now, now, keep_trying);
    }

    fn owe(
        &mut self,
        to: Recipient,
        send: SendId,
        view: &LeadView,
        since: Timestamp,
        due: Timestamp,
        keep_trying: Duration,
    ) {
        self.calls.last_number += 1;
        let mut owed = Owed {
            number: self.calls.last_number,
            to,
            send,
            lead_id: None,
            status: view.status,
            result: None,
            reason: None,
            since,
            until: later(due, keep_trying),
            failures: 0,
            due,
            extra: Map::new(),
        };
        owed.tells(view);
        self.calls.owed.push(owed);
        let surplus = self.calls.owed.len().saturating_sub(MOST_OWED);
        self.calls.owed.drain(..surplus);
    }

    /// The calls that are to be made at `now`, the longest due first, no more than can be made at once.
    pub fn due_calls(&self, now: Timestamp) -> Vec<Owed> {
        let mut due: Vec<_> = self.calls.owed.iter().filter(|owed| owed.due <= now).cloned().collect();
        due.sort_by_key(|owed| owed.due);
        due.truncate(AT_ONCE);
        due
    }

    /// When the next call is to be made.
    pub fn next_call(&self) -> Option<Timestamp> {
        self.calls.owed.iter().map(|owed| owed.due).min()
    }

    /// Until when anything is owed.
    pub fn owed_until(&self) -> Option<Timestamp> {
        self.calls.owed.iter().map(|owed| owed.until).max()
    }

    /// What came of a call; if it is to be made again, at `retry_at`.
    pub fn told(&mut self, number: u64, outcome: TellOutcome, retry_at: Timestamp, now: Timestamp) {
        self.calls.owed.retain_mut(|owed| {
            if owed.number != number {
                return true;
            }
            let over = match outcome {
                TellOutcome::Heard | TellOutcome::Pointless => true,
                TellOutcome::NobodyThere => until(owed.since, now) >= BOOKKEEPING,
                TellOutcome::Failed => false,
            };
            owed.failures = owed.failures.saturating_add(1);
            // The last try is at the very end.
            owed.due = retry_at.min(owed.until);
            !over && now < owed.until
        });
    }
}

impl Owed {
    fn tells(&mut self, view: &LeadView) {
        self.lead_id.clone_from(&view.lead_id);
        self.status = view.status;
        self.result.clone_from(&view.result);
        self.reason = view.reason;
    }
}
