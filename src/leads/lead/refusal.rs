//! ALC's refusal of a send, and which side tells it.
//!
//! Promises that a refusal is told: inside the request, and then Attio stays as it was, or by Attio. The caller's
//! handler writes down that it takes the refusal before it answers, and Attio waits for that as long as the caller
//! waits and a little longer. So nothing has to be undone when a caller hangs up or a process dies.

use std::time::Duration;

use super::{
    aggregate::Lead,
    outcome::{Outcome, Reason},
    shown::{Showing, Title},
};
use crate::{
    clock::{Timestamp, later},
    ids::SendId,
};

/// How long after the end of its caller's wait a refusal may still be taken: a handler that has seen it in time has to
/// write that down.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

impl Lead {
    /// The refusal of this send is told inside the request; `false` if it was already, or if it is Attio's to tell by
    /// now: a PATCH that says so may be under way.
    pub fn take_refusal(&mut self, send: SendId, now: Timestamp) -> bool {
        if self.send.outcome.id == send && self.refusal_waits_until().is_some_and(|until| until <= now) {
            return false;
        }
        let earlier = self.earlier.iter_mut().map(|earlier| &mut earlier.outcome);
        let mut outcomes = std::iter::once(&mut self.send.outcome).chain(earlier);
        match outcomes.find(|outcome| outcome.id == send && is_refused(outcome)) {
            Some(outcome) if !self.attio.may_show(Showing { send, title: Title::Failed }) => {
                outcome.told_in_request = true;
                true
            }
            _ => false,
        }
    }

    /// Until when Attio leaves the present send's refusal to its caller.
    pub fn refusal_waits_until(&self) -> Option<Timestamp> {
        let until = self.send.waited_until.filter(|_| is_refused(&self.send.outcome))?;
        Some(later(until, TAKEN_WITHIN))
    }
}

fn is_refused(outcome: &Outcome) -> bool {
    outcome.reason == Some(Reason::Rejected) && !outcome.told_in_request
}
