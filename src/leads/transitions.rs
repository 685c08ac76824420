//! What happens to a lead. Pure: no I/O, no clock, no randomness, and valid in every state, because a fact may arrive
//! when the lead has long gone on.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    lead::{CALLBACKS_KEPT, EARLIER_KEPT, Lead},
    send::{Reason, Send, Status},
    shown::{Showing, Title},
};
use crate::{clock::earlier, ids::SendId};

/// How long before a watching caller's deadline a refusal counts as told to it.
const WATCHER_MARGIN: Duration = Duration::from_secs(1);
/// Of a result, so many characters are kept: it is shown, and told to up to two hundred workflows at a time.
const RESULT_KEPT: usize = 1_000;

/// One request to ALC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// On behalf of which send.
    pub send: SendId,
    /// Which of its attempts, from 1.
    pub number: u32,
}

/// Whether a callback or a look-up changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The present send is complete by it.
    Now,
    /// A repeat, another result for a finished send, or an earlier send's.
    Already,
}

impl Lead {
    /// Begins another send on a lead whose last one has finished.
    pub fn send_again(&mut self, next: Send) {
        debug_assert!(!self.send.status.is_live(), "a live send is joined, not followed");
        let last = std::mem::replace(&mut self.send, next);
        if !std::mem::take(&mut self.forwarding) {
            self.earlier.push(last.into_earlier());
        }
        // Whoever spoke for the record is not there any more: else it would have been sent again instead.
        self.joined = None;
        let surplus = self.earlier.len().saturating_sub(EARLIER_KEPT);
        self.earlier.drain(..surplus);
        // A person may have restored the record, or mended the attribute: a new press deserves a new try.
        self.attio.gone = false;
        self.attio.refused = false;
        self.attio.result_refused = false;
        self.attio.failures = 0;
        self.attio.retry_at = None;
    }

    /// A request to ALC is about to be made.
    pub fn begin(&mut self, now: Timestamp) {
        self.send.attempts = self.send.attempts.saturating_add(1);
        self.send.under_way = true;
        self.send.updated_at = now;
    }

    /// Whoever worked on the lead vanished: what was under way has an unknown outcome.
    ///
    /// If it was no request to ALC it may have been a PATCH, and not only of what is wanted now: a callback or a press
    /// may have come in while it was under way.
    pub fn lost(&mut self, now: Timestamp) {
        if self.send.under_way {
            return self.unknown(self.attempt(), now, None, now);
        }
        if self.send.accepted_at.is_none() && self.earlier.is_empty() {
            // Nothing was ever to be shown.
            return;
        }
        let last = self.earlier.iter().rev().find(|earlier| !earlier.told_in_request);
        let last = last.map(|earlier| (earlier.id, earlier.status));
        for (send, status) in last.into_iter().chain([(self.send.id, self.send.status)]) {
            self.attio.doubt(Showing { send, title: Title::Pending }, now);
            match status {
                Status::Complete => self.attio.doubt(Showing { send, title: Title::Complete }, now),
                Status::Failed => self.attio.doubt(Showing { send, title: Title::Failed }, now),
                Status::Queued | Status::Pending => {}
            }
        }
    }

    /// What ALC listed for the record before the first attempt.
    pub fn listed_before(&mut self, ids: Vec<String>) {
        self.send.listed_before = ids;
        self.send.baseline_taken = true;
    }

    /// ALC has the lead; `lead_id` if it said under which id.
    pub fn submitted(&mut self, send: SendId, lead_id: Option<String>, poll_at: Option<Timestamp>, now: Timestamp) {
        if self.send.id != send {
            if let Some(earlier) = self.earlier.iter_mut().find(|earlier| earlier.id == send) {
                earlier.lead_id = earlier.lead_id.take().or(lead_id);
                earlier.unlearnt = earlier.lead_id.is_none();
            }
            return;
        }
        let send = &mut self.send;
        send.under_way = false;
        send.in_doubt = false;
        send.failures = 0;
        send.retry_at = None;
        if send.status == Status::Queued || send.lead_id.is_none() && lead_id.is_some() {
            send.updated_at = now;
        }
        send.lead_id = send.lead_id.take().or(lead_id);
        send.accepted_at.get_or_insert(now);
        if send.status == Status::Queued {
            send.status = Status::Pending;
            send.person = None;
            send.last_error = None;
            send.poll_at = poll_at;
        }
    }

    /// Whether a caller watches the present send for long enough to be told of its refusal.
    pub fn is_watched(&self, now: Timestamp) -> bool {
        self.send.waited_until.is_some_and(|until| now < earlier(until, WATCHER_MARGIN))
    }

    /// The caller that watched the present send has gone; `false` if that changes nothing. A refusal that was to be told
    /// to it alone is shown by Attio after all.
    pub fn nobody_watches(&mut self) -> bool {
        let send = &mut self.send;
        if send.waited_until.take().is_none() {
            return false;
        }
        send.told_in_request = false;
        true
    }

    /// ALC refuses the lead for good.
    pub fn rejected(&mut self, attempt: Attempt, detail: String, told_in_request: bool, now: Timestamp) {
        // A refusal that is recorded late says nothing of an attempt that another worker has begun since.
        if self.attempt() != attempt {
            return;
        }
        self.send.under_way = false;
        if self.send.status == Status::Queued {
            self.send.finish(Status::Failed, Some(Reason::Rejected), now);
            self.send.told_in_request = told_in_request;
            self.send.last_error = Some(detail);
        }
    }

    /// The request now under way, or the last one.
    pub fn attempt(&self) -> Attempt {
        Attempt { send: self.send.id, number: self.send.attempts }
    }

    /// This attempt has certainly not reached ALC. An earlier attempt's doubt stands.
    pub fn not_sent(&mut self, attempt: Attempt, retry_at: Timestamp, detail: Option<String>, now: Timestamp) {
        // What is known of an attempt says nothing of one that another worker has begun since.
        if self.attempt() == attempt {
            self.send.under_way = false;
            self.delay(retry_at, detail, now);
        }
    }

    /// This attempt had no clear answer.
    pub fn unknown(&mut self, attempt: Attempt, retry_at: Timestamp, detail: Option<String>, now: Timestamp) {
        if self.send.id != attempt.send {
            return;
        }
        self.send.ever_in_doubt = true;
        if self.attempt() == attempt {
            self.send.under_way = false;
            self.send.in_doubt = self.send.status == Status::Queued;
            self.delay(retry_at, detail, now);
        }
    }

    /// Nothing can be asked of ALC before `retry_at`.
    pub fn delay(&mut self, retry_at: Timestamp, detail: Option<String>, now: Timestamp) {
        self.send.failures = self.send.failures.saturating_add(1);
        if self.send.status == Status::Queued {
            self.send.retry_at = Some(retry_at);
        }
        if detail.is_some() {
            self.send.last_error = detail;
        }
        self.send.updated_at = now;
    }

    /// ALC was asked and has no lead of this send: it may be sent again, under the same key.
    pub fn not_found_at_alc(&mut self) {
        self.send.in_doubt = false;
    }

    /// A look-up of a pending lead brought nothing; the next one at `poll_at`.
    pub fn polled(&mut self, poll_at: Option<Timestamp>) {
        self.send.polls = self.send.polls.saturating_add(1);
        self.send.poll_at = poll_at;
    }

    /// ALC could not be asked; asked again at `poll_at`.
    pub fn poll_later(&mut self, poll_at: Timestamp) {
        if self.send.status == Status::Pending {
            self.send.poll_at = Some(poll_at);
        }
    }

    /// Ends a live send without a result.
    pub fn expire(&mut self, reason: Reason, now: Timestamp) {
        if self.send.status.is_live() {
            self.send.finish(Status::Failed, Some(reason), now);
        }
    }

    /// ALC's result, called back or looked up.
    ///
    /// Whose it is: an earlier send's if ALC's id says so, if its `webhook-id` was counted before, or if the present
    /// send was not yet attempted. With neither id it is the present send's: a late repeat can't be told apart.
    pub fn finish(&mut self, result: &str, lead_id: Option<&str>, callback: Option<&str>, now: Timestamp) -> Finished {
        // ALC's id goes before the header's: unsigned, that may be the same in every call.
        let is_named = lead_id.is_some_and(|lead_id| match &self.send.lead_id {
            Some(own) => own == lead_id,
            None => self.send.attempts > 0 && !self.is_of_earlier_send(lead_id) && !self.has_unlearnt_earlier_send(),
        });
        if let Some(callback) = callback
            && !self.counts(callback)
            && !is_named
        {
            return Finished::Already;
        }
        if !self.is_of_present_send(lead_id) {
            return Finished::Already;
        }
        let send = &mut self.send;
        if lead_id.is_some() && send.lead_id.is_none() {
            send.lead_id = lead_id.map(str::to_owned);
        }
        let gives_way = match send.status {
            Status::Queued | Status::Pending => true,
            Status::Complete => false,
            Status::Failed => !matches!(send.reason, Some(Reason::Superseded | Reason::RecordDeleted)),
        };
        if !gives_way {
            return Finished::Already;
        }
        send.accepted_at.get_or_insert(now);
        send.finish(Status::Complete, None, now);
        send.result = Some(kept(result));
        send.last_error = None;
        // What Attio refused was another word.
        self.attio.result_refused = false;
        self.attio.refused = false;
        self.attio.retry_at = None;
        Finished::Now
    }

    /// A result for a record that was never sent, or whose lead the store lost.
    ///
    /// Also where only a merge was remembered so far.
    pub fn adopt(&mut self, result: &str, lead_id: Option<&str>, callback: Option<&str>, now: Timestamp) {
        self.forwarding = false;
        self.joined = None;
        self.callbacks.extend(callback.map(str::to_owned));
        self.send.lead_id = lead_id.map(str::to_owned);
        self.send.accepted_at = Some(now);
        self.send.finish(Status::Complete, None, now);
        self.send.result = Some(kept(result));
    }

    /// Remembers the id of a call; `false` if it was counted before.
    pub(super) fn counts(&mut self, call: &str) -> bool {
        if self.callbacks.iter().any(|known| known == call) {
            return false;
        }
        self.callbacks.push(call.to_owned());
        let surplus = self.callbacks.len().saturating_sub(CALLBACKS_KEPT);
        self.callbacks.drain(..surplus);
        true
    }

    fn is_of_present_send(&mut self, lead_id: Option<&str>) -> bool {
        if let Some(lead_id) = lead_id {
            if self.send.lead_id.as_deref() == Some(lead_id) {
                return true;
            }
            if self.is_of_earlier_send(lead_id) {
                return false;
            }
            // The present send's id is known and is another one, and some earlier send's id was never learnt: this
            // is that one. Without such a send it can only be another attempt of the present one.
            if self.send.lead_id.is_some()
                && let Some(unlearnt) = self.earlier.iter_mut().rev().find(|earlier| earlier.unlearnt)
            {
                unlearnt.lead_id = Some(lead_id.to_owned());
                unlearnt.unlearnt = false;
                return false;
            }
        }
        self.send.attempts > 0
    }
}

fn kept(result: &str) -> String {
    result.chars().take(RESULT_KEPT).collect()
}
