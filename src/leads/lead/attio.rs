//! Attio's side of a lead: what it is to show, and what came of writing that.
//!
//! Promises that the next thing to show is derived from the sends' states, never remembered: once a result is known,
//! Pending is not written again, whatever was under way, and a result that another press overtook is shown all the same
//! until the next send has something to show itself.

use super::{
    aggregate::Lead,
    alc::Again,
    outcome::{Outcome, Reason, Status},
    shown::{Showing, Title},
};
use crate::clock::Timestamp;

/// Why Attio does not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowFailure {
    /// Certainly not taken: try again.
    Later,
    /// No answer: it may arrive late.
    Unseen(Showing),
    /// Permanent until a person acts.
    Refused,
    /// The result is no value that Attio takes: the status goes alone.
    ResultRefused,
    /// The lead id is no value that Attio takes: status and result go without it.
    LeadIdRefused,
    /// No such record.
    Gone,
}

/// How the words begin that this service keeps of Attio's trouble.
const ATTIOS: [&str; 2] = ["Attio: ", "Attio's token "];

impl Lead {
    /// What Attio is to show; `None`: nothing.
    pub fn wanted(&self) -> Option<Showing> {
        if self.joined.is_some() || self.forwarding {
            return None;
        }
        let present = &self.send.outcome;
        if present.told_in_request {
            // Refused, and that is told: the last send that had something to say has the word.
            return self.last_told_by_attio().and_then(showing);
        }
        if present.status == Status::Queued {
            // A press must not keep from Attio what ALC said before it. What ALC says of an earlier send after it must
            // not look like the present one's.
            let before = self.last_told_by_attio().filter(|earlier| earlier.updated_at <= present.created_at);
            return before.and_then(showing);
        }
        showing(present)
    }

    /// The last earlier send whose outcome is Attio's to show.
    pub fn last_told_by_attio(&self) -> Option<&Outcome> {
        self.earlier.iter().rev().map(|earlier| &earlier.outcome).find(|earlier| !earlier.told_in_request)
    }

    /// What goes with the title of a showing: ALC's id, and the word for the result.
    pub fn said(&self, showing: Showing) -> (Option<&str>, Option<&str>) {
        let Some(outcome) = self.outcome_of(showing.send) else { return (None, None) };
        let word = match showing.title {
            Title::Pending => None,
            Title::Complete => outcome.result.as_deref(),
            Title::Failed => outcome.reason.map(Reason::name),
        };
        (outcome.lead_id.as_deref(), word)
    }

    /// Whether there is a PATCH to be made, now or later.
    pub fn is_to_be_shown(&self) -> bool {
        !self.attio.gone && self.wanted().is_some_and(|wanted| !self.attio.shows(wanted))
    }

    /// The doubt that is to be read back first, or ticked off if it is not worth a look by then.
    pub fn next_doubt(&self) -> Option<(usize, Timestamp)> {
        if self.attio.gone {
            return None;
        }
        let checks = self.attio.doubts.iter().enumerate();
        checks.filter_map(|(index, doubt)| Some((index, doubt.check_at()?))).min_by_key(|(_, at)| *at)
    }

    /// The worker that had the lease vanished, and no request to ALC was under way: a PATCH may have been, and not only
    /// of what is wanted now, because a callback or a press may have come in during it.
    pub fn doubt_what_was_shown(&mut self, now: Timestamp) {
        let is_new = self.send.outcome.status == Status::Queued && self.send.reach.since().is_none();
        if is_new && self.earlier.is_empty() {
            // Nothing was ever to be shown.
            return;
        }
        let last = self.last_told_by_attio().map(|earlier| (earlier.id, earlier.status));
        let present = (self.send.outcome.id, self.send.outcome.status);
        for (send, status) in last.into_iter().chain([present]) {
            self.attio.doubt(Showing { send, title: Title::Pending }, now);
            match status {
                // A result may have come to a send that had failed, while that was being written.
                Status::Complete => {
                    self.attio.doubt(Showing { send, title: Title::Failed }, now);
                    self.attio.doubt(Showing { send, title: Title::Complete }, now);
                }
                Status::Failed => self.attio.doubt(Showing { send, title: Title::Failed }, now),
                Status::Queued | Status::Pending => {}
            }
        }
    }

    /// Attio took it.
    pub fn shown(&mut self, showing: Showing, lead_id: Option<String>, now: Timestamp) {
        self.part_errors();
        self.attio.set_shown(Some(showing));
        self.adopted = false;
        if lead_id.is_some() {
            self.attio.lead_id = lead_id;
        }
        self.attio.failures = 0;
        self.attio.retry_at = None;
        self.attio.refused = false;
        if showing.send != self.send.outcome.id {
            // It was an earlier send's word or id that Attio refused, if any.
            self.attio.result_refused = false;
            self.attio.lead_id_refused = false;
        }
        if !self.attio.leaves_something_out() {
            self.attio.error = None;
        }
        self.send.outcome.updated_at = now;
    }

    /// Attio did not take it; another PATCH then.
    pub fn not_shown(&mut self, failure: ShowFailure, again: Again, detail: Option<String>, now: Timestamp) {
        self.part_errors();
        match failure {
            ShowFailure::Later => {}
            ShowFailure::Unseen(showing) => self.attio.doubt(showing, now),
            ShowFailure::Refused => {
                self.attio.refused = true;
                // When a person has mended what Attio refuses, the result and the id are owed as well.
                self.attio.result_refused = false;
                self.attio.lead_id_refused = false;
            }
            ShowFailure::ResultRefused => self.attio.result_refused = true,
            ShowFailure::LeadIdRefused => {
                self.attio.lead_id_refused = true;
                // Where Attio does not say which value it means, the result may have been left out for the id's sake.
                self.attio.result_refused = false;
            }
            ShowFailure::Gone => {
                self.attio.gone = true;
                self.send.forget_person();
                self.forget_words_soon(now);
            }
        }
        self.attio.failures = again.count(self.attio.failures);
        self.attio.retry_at = Some(again.at);
        if detail.is_some() {
            self.attio.error = detail;
        }
        self.send.outcome.updated_at = now;
    }

    /// Versions before this one kept Attio's words in the place of the send's own, and so lost why the send had failed:
    /// what they have put there is not to outlive Attio's success.
    pub(super) fn part_errors(&mut self) {
        let outcome = &mut self.send.outcome;
        // ALC's words of refusal stand there as ALC said them, and they never wrote over those.
        let may_be_attios = outcome.reason != Some(Reason::Rejected);
        let is_attios = |error: &mut String| may_be_attios && ATTIOS.iter().any(|begin| error.starts_with(begin));
        if let Some(error) = outcome.last_error.take_if(is_attios) {
            self.attio.error.get_or_insert(error);
        }
    }

    /// The last thing that went wrong. Why ALC does not have the send yet, and ALC's words of refusal, are what a
    /// person asks for; else what Attio does not take came after it.
    pub fn last_error(&self) -> Option<&str> {
        let (alc, attio) = (self.send.outcome.last_error.as_deref(), self.attio.present_error());
        let goes_first =
            self.send.outcome.status == Status::Queued || self.send.outcome.reason == Some(Reason::Rejected);
        if goes_first { alc.or(attio) } else { attio.or(alc) }
    }

    /// A doubt was read back. With `shows_doubted`, Attio shows the doubted title instead of the wanted one: write
    /// again.
    pub fn read_back(&mut self, index: usize, shows_doubted: bool) {
        if let Some(doubt) = self.attio.doubts.get_mut(index) {
            doubt.checks = doubt.checks.saturating_add(1);
        }
        self.attio.doubts.retain(|doubt| doubt.check_at().is_some());
        self.attio.failures = 0;
        self.attio.retry_at = None;
        if shows_doubted {
            self.attio.set_shown(None);
            // An earlier send's id may have come back with its title.
            self.attio.lead_id = None;
        }
    }
}

/// What Attio shows of a send that has come to this.
fn showing(outcome: &Outcome) -> Option<Showing> {
    let title = match (outcome.status, outcome.reason) {
        (Status::Queued, _) | (Status::Failed, Some(Reason::Superseded | Reason::RecordDeleted)) => return None,
        (Status::Pending, _) => Title::Pending,
        (Status::Complete, _) => Title::Complete,
        (Status::Failed, _) => Title::Failed,
    };
    Some(Showing { send: outcome.id, title })
}
