//! The end of a send, turned into the calls that are owed for it.
//!
//! Promises that a workflow which waited for a send is owed its end and no other's, and that nothing is owed before the
//! send has finished.

use std::time::Duration;

use super::{aggregate::Lead, calls::Recipient, send::PresentSend};
use crate::clock::{Timestamp, later};

impl Lead {
    /// Whether the present send's end is still to be turned into calls. `triggers_since`: since when the workspace's
    /// oldest trigger has been there; one that came after the end is not told of it.
    pub fn is_end_to_be_noted(&self, triggers_since: Option<Timestamp>) -> bool {
        self.end_not_noted().is_some_and(|finished| {
            !self.calls.waiting.is_empty() || triggers_since.is_some_and(|since| since <= finished)
        })
    }

    /// When the present send ended, if no calls have been made of that end yet.
    fn end_not_noted(&self) -> Option<Timestamp> {
        let send = &self.send;
        // A lead that only forwards was never sent: it has no end to tell of. That of an unproven one may be the affair
        // of another workspace, whose workflows are told of it there.
        let ended = !self.forwarding && !self.is_unproven() && !send.outcome.status.is_live();
        let is_noted = self.calls.noted == Some((send.outcome.id, send.outcome.status));
        send.finished_at.filter(|_| ended && !is_noted)
    }

    /// Begins another send. What is owed of the last one is kept, also if its end was not written down yet.
    pub fn follow_with(&mut self, next: PresentSend, triggers: &[(String, Timestamp)], keep_trying: Duration) {
        // The button of this workspace names only the workspace's own records.
        self.adopted = false;
        let triggers = triggers.iter().map(|(activation, since)| (activation.as_str(), *since));
        self.note_end(triggers, keep_trying);
        self.send_again(next);
    }

    /// Turns the present send's end, if it has one, into calls: to the workflows that wait, and to these triggers. Once
    /// an end; a failure that gave way to ALC's own result is another end.
    pub fn note_end<'a>(&mut self, triggers: impl IntoIterator<Item = (&'a str, Timestamp)>, keep_trying: Duration) {
        let Some(finished) = self.end_not_noted() else { return };
        let (calls, outcome) = (&mut self.calls, &self.send.outcome);
        calls.noted = Some((outcome.id, outcome.status));
        calls.restate(outcome);
        for owed in calls.owed.iter_mut().filter(|owed| owed.send == outcome.id) {
            (owed.due, owed.until) = (finished, later(finished, keep_trying));
        }
        for waiting in std::mem::take(&mut calls.waiting) {
            calls.owe(Recipient::Step(waiting.hook), outcome, waiting.since, finished, keep_trying);
        }
        for (activation, _) in triggers.into_iter().filter(|(_, since)| *since <= finished) {
            let to = Recipient::Trigger(activation.to_owned());
            calls.owed.retain(|owed| owed.send != outcome.id || owed.to.recipient != to);
            calls.given_up.forget(outcome.id, &to);
            calls.owe(to, outcome, outcome.created_at, finished, keep_trying);
        }
    }
}
