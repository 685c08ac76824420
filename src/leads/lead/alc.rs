//! ALC's side of a lead up to its result: the attempts to send it, and what ALC answered.

use super::{
    aggregate::Lead,
    next_step::Deadlines,
    outcome::{Reason, Status},
    reach::Reach,
};
use crate::{clock::Timestamp, ids::SendId};

/// One POST to ALC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostAttempt {
    /// On behalf of which send.
    pub send: SendId,
    /// Which of its attempts, from 1.
    pub number: u32,
}

/// When an upstream is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// Not before then.
    pub at: Timestamp,
    /// The call failed, and the next wait is longer. A full limit is no failure: the gate holds every lead until it has
    /// room again.
    pub failed: bool,
}

impl Again {
    /// After a failure.
    pub fn failed(at: Timestamp) -> Self {
        Self { at, failed: true }
    }

    /// After a pause that the upstream asked for.
    pub fn paused(at: Timestamp) -> Self {
        Self { at, failed: false }
    }

    /// The failures in a row, this time counted.
    pub fn count(self, failures: u32) -> u32 {
        failures.saturating_add(u32::from(self.failed))
    }
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
        self.send.reach = self.send.reach.begun();
    }

    /// The worker that had the lease vanished: the call that it was making has an unknown outcome.
    pub fn lost(&mut self, now: Timestamp) {
        if matches!(self.send.reach, Reach::UnderWay { .. }) {
            self.unknown(self.attempt(), Again::failed(now), None, now);
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
        send.reach = send.reach.there(now);
        send.failures = 0;
        send.retry_at = None;
        send.unopened = false;
        // Also where it counts as failed: ALC's late answer says that no replay may send it again.
        send.person = None;
        let outcome = &mut send.outcome;
        if outcome.status == Status::Queued || outcome.lead_id.is_none() && lead_id.is_some() {
            outcome.updated_at = now;
        }
        outcome.lead_id = outcome.lead_id.take().or(lead_id);
        if outcome.status == Status::Queued {
            outcome.status = Status::Pending;
            outcome.last_error = None;
            // A merge has revived it during the attempt: it is to be asked for at once.
            send.poll_at = send.poll_at.or(poll_at);
        }
    }

    /// ALC refuses the lead for good. That is its caller's to be told: see [`Lead::take_refusal`].
    pub fn rejected(&mut self, attempt: PostAttempt, detail: String, now: Timestamp) {
        // A refusal that is recorded late says nothing of an attempt that another worker has begun since.
        if self.attempt() != attempt {
            return;
        }
        self.send.reach = self.send.reach.not_taken();
        if self.send.outcome.status == Status::Queued {
            self.send.finish(Status::Failed, Some(Reason::Rejected), now);
            self.send.outcome.last_error = Some(detail);
        }
    }

    /// Whether this attempt is the one that is under way.
    pub fn is_under_way(&self, attempt: PostAttempt) -> bool {
        self.attempt() == attempt && matches!(self.send.reach, Reach::UnderWay { .. })
    }

    /// This attempt has certainly not reached ALC. An earlier attempt's doubt stands.
    pub fn not_sent(&mut self, attempt: PostAttempt, again: Again, detail: Option<String>, now: Timestamp) {
        // What is known of an attempt says nothing of one that another worker has begun since.
        if self.attempt() == attempt {
            self.send.reach = self.send.reach.not_taken();
            self.delay(again, detail, now);
        }
    }

    /// This attempt had no clear answer.
    pub fn unknown(&mut self, attempt: PostAttempt, again: Again, detail: Option<String>, now: Timestamp) {
        if self.send.outcome.id != attempt.send {
            return;
        }
        let is_last = self.attempt() == attempt;
        self.send.reach = self.send.reach.unanswered(is_last);
        if is_last {
            self.delay(again, detail, now);
        }
    }

    /// ALC answered this attempt 2xx, and no id could be read. Once it is worth a look-up, or a repeat under the same
    /// key, by which the id may yet be learnt. The second time ALC counts as having the send, without an id: `true`.
    pub fn accepted_unreadably(
        &mut self,
        attempt: PostAttempt,
        again: Again,
        poll_at: Option<Timestamp>,
        detail: Option<String>,
        now: Timestamp,
    ) -> bool {
        let is_present = self.send.outcome.id == attempt.send;
        if !is_present || self.send.accepted_unreadably {
            self.submitted(attempt.send, None, poll_at, now);
            return is_present;
        }
        self.send.accepted_unreadably = true;
        self.unknown(attempt, again, detail, now);
        false
    }

    /// ALC is not asked before then, as no sealing key opens what that takes: that is no failure of ALC's, and is over
    /// when the key is put back.
    pub fn not_opened(&mut self, at: Timestamp, detail: String, now: Timestamp) {
        self.delay(Again::failed(at), Some(detail), now);
        self.send.unopened = self.send.outcome.status.is_live();
    }

    /// ALC could not be asked, and is asked again then.
    pub fn delay(&mut self, again: Again, detail: Option<String>, now: Timestamp) {
        self.send.unopened = false;
        self.send.failures = again.count(self.send.failures);
        match self.send.outcome.status {
            Status::Queued => self.send.retry_at = Some(again.at),
            Status::Pending => self.send.poll_at = Some(again.at),
            Status::Complete | Status::Failed => {}
        }
        if detail.is_some() {
            self.send.outcome.last_error = detail;
        }
        self.send.outcome.updated_at = now;
    }

    /// ALC was asked and has no lead of this send: it may be sent again, under the same key.
    pub fn not_found_at_alc(&mut self) {
        self.send.reach = self.send.reach.not_found();
        if self.send.outcome.status == Status::Queued {
            self.send.poll_at = None;
        }
    }

    /// A look-up of a pending lead brought nothing. One that an operator asked for comes besides those of the schedule,
    /// which goes on from where it was: else each asking would put the next one off.
    pub fn polled(&mut self, deadlines: &Deadlines, now: Timestamp) {
        let then = self.send.poll_then.take().filter(|then| *then > now);
        if then.is_none() {
            self.send.polls = self.send.polls.saturating_add(1);
        }
        self.send.poll_at = then.or_else(|| deadlines.next_poll(self.send.polls, now));
        self.send.unopened = false;
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
