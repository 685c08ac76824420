//! The workflows that wait for a lead, and the calls that are owed to them.
//!
//! Promises that each owed call carries what its own send came to, so that a later send of the same record changes
//! nothing of it, and that a callback URL is kept, sealed, for as long as it is owed a call; of those given up the
//! newest are kept as well, see [`super::given_up`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use super::owed::{Hook, Owed, Recipient, StoredRecipient, Waiting};
use super::{
    given_up::{GivenUp, GivenUpFor},
    outcome::{Outcome, Status},
};
use crate::{
    clock::{Timestamp, later, until},
    ids::SendId,
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

/// Every workflow that waits for this lead, or is owed a call about it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// Wait for the present send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// Are to be called, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<Owed>,
    /// The end that was last turned into calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noted: Option<(SendId, Status)>,
    /// Were given up, oldest first.
    #[serde(default, skip_serializing_if = "GivenUp::is_empty")]
    pub given_up: GivenUp,
    /// The last [`Owed::number`].
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
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
        for crowded_out in self.owed.drain(..surplus).collect::<Vec<_>>() {
            self.given_up.keep(crowded_out, GivenUpFor::CrowdedOut, due);
        }
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
            owed.restate(outcome);
        }
    }

    /// A call that was given up is owed again, from `now` on for as long as `keep_trying`; `outcome` is what its send
    /// has come to by now. `false`: it is not among those given up any more.
    pub fn owe_again(&mut self, number: u64, outcome: Option<&Outcome>, keep_trying: Duration, now: Timestamp) -> bool {
        let Some(mut call) = self.given_up.take(number) else { return false };
        if let Some(outcome) = outcome {
            call.restate(outcome);
        }
        (call.failures, call.due, call.until) = (0, now, later(now, keep_trying));
        self.owed.push(call);
        true
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
        let Some(index) = self.owed.iter().position(|owed| owed.number == number) else { return };
        let owed = &mut self.owed[index];
        owed.failures = owed.failures.saturating_add(1);
        // The last try is at the very end.
        owed.due = retry_at.min(owed.until);
        let why = match outcome {
            CallOutcome::Heard | CallOutcome::Pointless => {
                self.owed.remove(index);
                return;
            }
            CallOutcome::NobodyThere if until(owed.since, now) >= BOOKKEEPING => GivenUpFor::NobodyThere,
            CallOutcome::NobodyThere | CallOutcome::Failed if now >= owed.until => GivenUpFor::Deadline,
            CallOutcome::NobodyThere | CallOutcome::Failed => return,
        };
        let call = self.owed.remove(index);
        self.given_up.keep(call, why, now);
    }
}
