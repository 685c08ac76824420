//! What Attio has been shown, what it is to show, and what may still arrive late.
//!
//! Promises that the next thing to show is derived from the sends' states, never remembered: once a result is known,
//! Pending is not written again, whatever was under way, and a result that another press overtook is shown all the same
//! until the next send has something to show itself.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    lead::Lead,
    send::{EarlierSend, Reason, Status},
};
use crate::{clock, ids::SendId};

/// When a PATCH without an answer is read back, after it was sent.
pub const READ_BACK_AFTER: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(15 * 60)];

/// Doubts remembered: a PATCH more than a quarter of an hour old arrives no more, and only crashes and lost answers of
/// several sends within that time make as many.
const DOUBTS_KEPT: usize = 16;

/// A title of ours in Attio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Title {
    /// ALC has the lead.
    Pending,
    /// ALC has given its result.
    Complete,
    /// The send failed.
    Failed,
}

/// A state of the record in Attio: which title, on behalf of which send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Showing {
    /// The send.
    pub send: SendId,
    /// The title.
    pub title: Title,
}

/// A PATCH whose answer was not seen: Attio may apply it late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// What it would show.
    pub title: Title,
    /// On behalf of which send: with its title come its id and its result.
    #[serde(default)]
    pub send: Option<SendId>,
    /// When it was sent.
    pub at: Timestamp,
    /// How many of [`READ_BACK_AFTER`] are done.
    #[serde(default)]
    pub checks: u8,
}

impl Doubt {
    /// When it is next read back; `None`: no more.
    pub fn check_at(&self) -> Option<Timestamp> {
        READ_BACK_AFTER.get(usize::from(self.checks)).map(|after| clock::later(self.at, *after))
    }

    /// Whether it would change something where `wanted` is shown. What would only say the same again needs no look.
    pub fn would_change(&self, wanted: Showing) -> bool {
        (self.title, self.send) != (wanted.title, Some(wanted.send))
    }
}

/// Attio's side of a lead.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attio {
    /// What Attio has certainly taken last.
    pub shown: Option<Showing>,
    /// The lead id that it has certainly taken last.
    pub lead_id: Option<String>,
    /// Attio refuses the result as a value: from now on the status goes alone.
    #[serde(default)]
    pub result_refused: bool,
    /// The record is gone: no further PATCH.
    #[serde(default)]
    pub gone: bool,
    /// Attio refuses until someone acts; retried slowly.
    #[serde(default)]
    pub refused: bool,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// No PATCH before then.
    pub retry_at: Option<Timestamp>,
    /// What may still arrive.
    #[serde(default)]
    pub doubts: Vec<Doubt>,
}

impl Attio {
    pub(super) fn is_stuck(&self) -> bool {
        self.gone || self.refused
    }

    /// One doubt a showing: the later one's last look comes after everything that the earlier one can still do.
    pub(super) fn doubt(&mut self, showing: Showing, now: Timestamp) {
        self.doubts.retain(|doubt| doubt.would_change(showing));
        self.doubts.push(Doubt { title: showing.title, send: Some(showing.send), at: now, checks: 0 });
        let surplus = self.doubts.len().saturating_sub(DOUBTS_KEPT);
        self.doubts.drain(..surplus);
    }
}

impl Lead {
    /// What Attio is to show; `None`: nothing.
    pub fn wanted(&self) -> Option<Showing> {
        if self.joined.is_some() || self.forwarding {
            return None;
        }
        let send = &self.send;
        if send.status == Status::Queued || send.told_in_request {
            // As long as this send has nothing to say, the last one that had has the word: a press must not keep from
            // Attio what ALC said before it.
            return self.earlier.iter().rev().find(|earlier| !earlier.told_in_request).and_then(EarlierSend::showing);
        }
        Some(Showing { send: send.id, title: title(send.status, send.reason)? })
    }

    /// What goes with the title of a showing: ALC's id, and the word for the result.
    pub fn said(&self, showing: Showing) -> (Option<&str>, Option<&str>) {
        let earlier = || self.earlier.iter().find(|earlier| earlier.id == showing.send);
        let (lead_id, result, reason) = if showing.send == self.send.id {
            (&self.send.lead_id, &self.send.result, self.send.reason)
        } else if let Some(earlier) = earlier() {
            (&earlier.lead_id, &earlier.result, earlier.reason)
        } else {
            return (None, None);
        };
        let word = match showing.title {
            Title::Pending => None,
            Title::Complete => result.as_deref(),
            Title::Failed => reason.map(Reason::name),
        };
        (lead_id.as_deref(), word)
    }

    /// Whether there is a PATCH to be made, now or later.
    pub fn is_to_be_shown(&self) -> bool {
        !self.attio.gone && self.wanted().is_some_and(|wanted| self.attio.shown != Some(wanted))
    }

    /// The doubt that is to be read back first, or ticked off if it is not worth a look by then.
    pub fn next_doubt(&self) -> Option<(usize, Timestamp)> {
        if self.attio.gone {
            return None;
        }
        let checks = self.attio.doubts.iter().enumerate();
        checks.filter_map(|(index, doubt)| Some((index, doubt.check_at()?))).min_by_key(|(_, at)| *at)
    }

    /// Attio took it.
    pub fn shown(&mut self, showing: Showing, lead_id: Option<String>, now: Timestamp) {
        self.attio.shown = Some(showing);
        if lead_id.is_some() {
            self.attio.lead_id = lead_id;
        }
        self.attio.failures = 0;
        self.attio.retry_at = None;
        self.attio.refused = false;
        if showing.send != self.send.id {
            // It was an earlier send's word that Attio refused, if any.
            self.attio.result_refused = false;
        }
        if !self.attio.result_refused {
            self.went_wrong_at_attio(None);
        }
        self.send.updated_at = now;
    }

    /// Attio did not take it; another PATCH at `retry_at`.
    pub fn not_shown(&mut self, failure: ShowFailure, retry_at: Timestamp, detail: Option<String>, now: Timestamp) {
        match failure {
            ShowFailure::Later => {}
            ShowFailure::Unseen(showing) => self.attio.doubt(showing, now),
            ShowFailure::Refused => {
                self.attio.refused = true;
                // Whoever mends what Attio refuses is owed the result as well.
                self.attio.result_refused = false;
            }
            ShowFailure::ResultRefused => self.attio.result_refused = true,
            ShowFailure::Gone => self.attio.gone = true,
        }
        self.attio.failures = self.attio.failures.saturating_add(1);
        self.attio.retry_at = Some(retry_at);
        if detail.is_some() {
            self.went_wrong_at_attio(detail);
        }
        self.send.updated_at = now;
    }

    /// ALC's words of refusal stay: whoever asks why a send was refused is told them, and not Attio's.
    fn went_wrong_at_attio(&mut self, detail: Option<String>) {
        if self.send.reason != Some(Reason::Rejected) {
            self.send.last_error = detail;
        }
    }

    /// A doubt was read back. With `shows_doubted`, Attio shows the doubted title instead of the wanted one: write again.
    pub fn read_back(&mut self, index: usize, shows_doubted: bool) {
        if let Some(doubt) = self.attio.doubts.get_mut(index) {
            doubt.checks = doubt.checks.saturating_add(1);
        }
        self.attio.doubts.retain(|doubt| doubt.check_at().is_some());
        self.attio.failures = 0;
        self.attio.retry_at = None;
        if shows_doubted {
            self.attio.shown = None;
            // An earlier send's id may have come back with its title.
            self.attio.lead_id = None;
        }
    }
}

impl EarlierSend {
    fn showing(&self) -> Option<Showing> {
        Some(Showing { send: self.id, title: title(self.status, self.reason)? })
    }
}

fn title(status: Status, reason: Option<Reason>) -> Option<Title> {
    match (status, reason) {
        (Status::Queued, _) => None,
        (Status::Pending, _) => Some(Title::Pending),
        (Status::Complete, _) => Some(Title::Complete),
        (Status::Failed, Some(Reason::Superseded | Reason::RecordDeleted)) => None,
        (Status::Failed, _) => Some(Title::Failed),
    }
}

/// Why Attio does not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowFailure {
    /// Certainly not taken: try again.
    Later,
    /// No answer: it may arrive late.
    Unseen(Showing),
    /// Permanent until someone acts.
    Refused,
    /// The result is no value that Attio takes: the status goes alone.
    ResultRefused,
    /// No such record.
    Gone,
}
