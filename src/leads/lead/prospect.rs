//! What ALC says of a person whom it brought, once Attio has the person's record.
//!
//! Promises that a live send of ours ends by this only if ALC's id is that send's own (where either id is missing and
//! ALC has taken the send, ALC is asked at once), that a result which is known is never taken back, and that one which
//! comes after a word without a result is shown, also where Attio shows that word.

use super::{aggregate::Lead, outcome::Status, send::PresentSend};
use crate::clock::Timestamp;

/// ALC's word of a person.
#[derive(Debug, Clone, Copy)]
pub struct Brought<'a> {
    /// The result, if ALC has said one.
    pub result: Option<&'a str>,
    /// ALC's id of the lead.
    pub lead_id: Option<&'a str>,
    /// Digests of the calls that said so, oldest first.
    pub callbacks: &'a [String],
}

impl Lead {
    /// A lead that no press has made: complete by what ALC says. In `send` nothing has happened yet.
    pub fn adopt_brought(&mut self, brought: Brought<'_>, send: PresentSend, now: Timestamp) {
        self.send = send;
        self.adopt(brought.result.unwrap_or_default(), brought.lead_id, None, now);
        self.send.outcome.result = self.send.outcome.result.take().filter(|result| !result.is_empty());
        self.count_calls(brought);
    }

    /// What ALC says goes to the lead that is there, by the rules of every result; whether anything changed by it.
    /// `next` is the send that a result makes which comes after ALC's word that it was done.
    pub fn take_brought(&mut self, brought: Brought<'_>, next: PresentSend, now: Timestamp) -> bool {
        let before = self.clone();
        let outcome = &self.send.outcome;
        let is_own = brought.lead_id.is_some() && brought.lead_id == outcome.lead_id.as_deref();
        if let Some(result) = brought.result {
            let is_earlier = !is_own && brought.lead_id.is_some_and(|id| self.is_of_earlier_send(id));
            // No other send is complete without a result than one that ended by such a word.
            let had_no_result = outcome.status == Status::Complete && outcome.result.is_none();
            if had_no_result && !is_earlier {
                self.complete_later(result, brought, next, now);
            } else if is_own || is_earlier || !outcome.status.is_live() {
                // Of an earlier send's result the present send, live or not, stays as it is.
                self.finish(result, brought.lead_id, None, now);
            } else if brought.lead_id.is_none() || outcome.lead_id.is_none() {
                // Perhaps the live send's own, whose id was never learnt: ALC, asked for the record, can tell.
                let scheduled = self.send.poll_at.filter(|at| *at > now);
                if self.ask_by(now) {
                    // Besides what the schedule has.
                    self.send.poll_then = self.send.poll_then.or(scheduled);
                }
            }
        }
        self.count_calls(brought);
        *self != before
    }

    /// ALC's word without a result is in Attio already, or on its way: what follows is another send there.
    fn complete_later(&mut self, result: &str, brought: Brought<'_>, mut next: PresentSend, now: Timestamp) {
        next.webhook = next.webhook.or(self.send.webhook);
        next.outcome.lead_id = brought.lead_id.map(str::to_owned).or_else(|| self.send.outcome.lead_id.clone());
        self.send_again(next);
        self.complete(result, now);
    }

    fn count_calls(&mut self, brought: Brought<'_>) {
        for call in brought.callbacks {
            self.remember_call(call);
        }
    }
}
