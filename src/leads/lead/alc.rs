//! ALC's side of a lead up to its result: the attempts to send it, and what ALC answered.

use std::time::Duration;

use super::{
    aggregate::Lead,
    outcome::{Reason, Status},
};
use crate::{
    clock::{Timestamp, earlier},
    ids::SendId,
};

/// How long before a watching caller's deadline a refusal counts as told to it.
const WATCHER_MARGIN: Duration = Duration::from_secs(1);

/// One POST to ALC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostAttempt {
    /// On behalf of which send.
    pub send: SendId,
    /// Which of its attempts, from 1.
    pub number: u32,
}

impl Lead {
    /// The POST now under way, or the last one.
    pub fn attempt(&self) -> PostAttempt {
        PostAttempt { send: self.send.outcome.id, number: self.send.outcome.attempts }
    }

    /// A POST to ALC is about to be made.
    pub fn begin(&mut self, now: Timestamp) {
        self.send.outcome.attempts = self.send.outcome.attempts.saturating_add(1);
        self.send.outcome.updated_at = now;
        self.send.under_way = true;
    }

    /// The worker that had the lease vanished: the call that it was making has an unknown outcome.
    pub fn lost(&mut self, now: Timestamp) {
        if self.send.under_way {
            self.unknown(self.attempt(), now, None, now);
        } else {
            self.doubt_what_was_shown(now);
        }
    }

    /// What ALC listed for the record before the first attempt.
    pub fn listed_before(&mut self, ids: Vec<String>) {
        self.send.listed_before = ids;
        self.send.baseline_taken = true;
    }

    /// ALC has the lead; `lead_id` if it said under which id.
    pub fn submitted(&mut self, send: SendId, lead_id: Option<String>, poll_at: Option<Timestamp>, now: Timestamp) {
        if self.send.outcome.id != send {
            if let Some(earlier) = self.earlier.iter_mut().find(|earlier| earlier.outcome.id == send) {
                earlier.outcome.lead_id = earlier.outcome.lead_id.take().or(lead_id);
                earlier.unlearnt = earlier.outcome.lead_id.is_none();
            }
            return;
        }
        let send = &mut self.send;
        send.under_way = false;
        send.in_doubt = false;
        send.failures = 0;
        send.retry_at = None;
        send.accepted_at.get_or_insert(now);
        let outcome = &mut send.outcome;
        if outcome.status == Status::Queued || outcome.lead_id.is_none() && lead_id.is_some() {
            outcome.updated_at = now;
        }
        outcome.lead_id = outcome.lead_id.take().or(lead_id);
        if outcome.status == Status::Queued {
            outcome.status = Status::Pending;
            outcome.last_error = None;
            send.person = None;
            send.poll_at = poll_at;
        }
    }

    /// Whether a caller watches the present send for long enough to be told of its refusal.
    pub fn is_watched(&self, now: Timestamp) -> bool {
        self.send.waited_until.is_some_and(|until| now < earlier(until, WATCHER_MARGIN))
    }

    /// The caller that watched the present send has gone; `false` if that changes nothing. A refusal that was to be
    /// told to that caller alone is shown by Attio after all.
    pub fn stop_watching(&mut self) -> bool {
        if self.send.waited_until.take().is_none() {
            return false;
        }
        self.send.outcome.told_in_request = false;
        true
    }

    /// ALC refuses the lead for good.
    pub fn rejected(&mut self, attempt: PostAttempt, detail: String, told_in_request: bool, now: Timestamp) {
        // A refusal that is recorded late says nothing of an attempt that another worker has begun since.
        if self.attempt() != attempt {
            return;
        }
        self.send.under_way = false;
        if self.send.outcome.status == Status::Queued {
            self.send.finish(Status::Failed, Some(Reason::Rejected), now);
            self.send.outcome.told_in_request = told_in_request;
            self.send.outcome.last_error = Some(detail);
        }
    }

    /// This attempt has certainly not reached ALC. An earlier attempt's doubt stands.
    pub fn not_sent(&mut self, attempt: PostAttempt, retry_at: Timestamp, detail: Option<String>, now: Timestamp) {
        // What is known of an attempt says nothing of one that another worker has begun since.
        if self.attempt() == attempt {
            self.send.under_way = false;
            self.delay(retry_at, detail, now);
        }
    }

    /// This attempt had no clear answer.
    pub fn unknown(&mut self, attempt: PostAttempt, retry_at: Timestamp, detail: Option<String>, now: Timestamp) {
        if self.send.outcome.id != attempt.send {
            return;
        }
        self.send.ever_in_doubt = true;
        if self.attempt() == attempt {
            self.send.under_way = false;
            self.send.in_doubt = self.send.outcome.status == Status::Queued;
            self.delay(retry_at, detail, now);
        }
    }

    /// ALC answered this attempt 2xx, and no id could be read. Once it is worth a look-up, or a repeat under the same
    /// key, by which the id may yet be learnt. The second time ALC counts as having the send, without an id: `true`.
    pub fn accepted_unreadably(
        &mut self,
        attempt: PostAttempt,
        [retry_at, poll_at]: [Option<Timestamp>; 2],
        detail: Option<String>,
        now: Timestamp,
    ) -> bool {
        let is_present = self.send.outcome.id == attempt.send;
        if !is_present || self.send.accepted_unreadably {
            self.submitted(attempt.send, None, poll_at, now);
            return is_present;
        }
        self.send.accepted_unreadably = true;
        self.unknown(attempt, retry_at.unwrap_or(now), detail, now);
        false
    }

    /// Nothing can be asked of ALC before `retry_at`.
    pub fn delay(&mut self, retry_at: Timestamp, detail: Option<String>, now: Timestamp) {
        self.send.failures = self.send.failures.saturating_add(1);
        if self.send.outcome.status == Status::Queued {
            self.send.retry_at = Some(retry_at);
        }
        if detail.is_some() {
            self.send.outcome.last_error = detail;
        }
        self.send.outcome.updated_at = now;
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
        if self.send.outcome.status == Status::Pending {
            self.send.poll_at = Some(poll_at);
        }
    }

    /// Ends a live send without a result. One that ALC has accepted, if unreadably, is not one that was never sent: it
    /// waits for its result from now on.
    pub fn expire(&mut self, reason: Reason, now: Timestamp) {
        if reason == Reason::NotSent && self.send.accepted_unreadably {
            return self.submitted(self.send.outcome.id, None, Some(now), now);
        }
        if self.send.outcome.status.is_live() {
            self.send.finish(Status::Failed, Some(reason), now);
        }
    }
}
