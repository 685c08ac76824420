//! What an operator may do to a lead: have it tried now, or have what was given up done once more.
//!
//! Promises that nothing here makes a send go to ALC that may be there already: what ALC may have is asked for by the
//! usual steps, or left alone with advice. Each transition is bound to what it is about, so that a second request for
//! the same finds nothing to do.

use super::{
    aggregate::Lead,
    outcome::{Reason, Status},
    reach::Reach,
    send::{EarlierSend, PresentSend, SealedPerson},
};
use crate::{clock::Timestamp, ids::SendId};

/// Why a failed send is not sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAgain {
    /// The record's present send is another one, or has not failed: it was replayed, or pressed, or has a result.
    Over,
    /// ALC has it, or may have it: another send could be a second SMS.
    MayBeAtAlc,
    /// Another lead speaks for the record, or the record is gone.
    Pointless,
    /// Name and number are not kept any more.
    Forgotten,
}

impl NotAgain {
    /// What the operator is told.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Over => "it is not failed any more",
            Self::MayBeAtAlc => {
                "not sent again: ALC has this send or may have it, and a second one could be a second SMS. Ask ALC for \
                 the record; ALC's own later result completes the lead by itself. If ALC certainly has nothing, press \
                 the button in Attio again"
            }
            Self::Pointless => {
                "not sent again: the record was merged into another or deleted; press that record's button"
            }
            Self::Forgotten => {
                "not sent again: name and number of this send are not kept any more; press the button in Attio again"
            }
        }
    }
}

impl Lead {
    /// Whether the failed send of that id may be sent once more, as a new send with the same name and number; `None`:
    /// a list entry asked for it, and Attio is asked who the person is.
    pub fn may_be_sent_again(&self, send: SendId) -> Result<Option<&SealedPerson>, NotAgain> {
        let outcome = &self.send.outcome;
        if outcome.id != send || outcome.status != Status::Failed {
            return Err(NotAgain::Over);
        }
        if self.joined.is_some()
            || self.forwarding
            || self.attio.gone
            || matches!(outcome.reason, Some(Reason::Superseded | Reason::RecordDeleted))
        {
            return Err(NotAgain::Pointless);
        }
        if self.send.reach != Reach::NotThere || self.earlier.iter().any(EarlierSend::may_go_on_at_alc) {
            return Err(NotAgain::MayBeAtAlc);
        }
        match &self.send.person {
            None if !self.send.by_entry || self.send.beside_another => Err(NotAgain::Forgotten),
            // ALC was sent this person, who was then forgotten because ALC has a lead of the record.
            None if outcome.reason == Some(Reason::Rejected) => Err(NotAgain::Forgotten),
            person => Ok(person.as_ref()),
        }
    }

    /// What waits only for a next try is tried now; the names of the sides that this concerns. A send of which it is
    /// not known whether ALC has it keeps its time: it is asked for, or sent again, as the settings have it.
    pub fn try_now(&mut self, now: Timestamp) -> Vec<&'static str> {
        let mut sides = Vec::new();
        let is_doubted = self.send.reach.was_doubted();
        match self.send.outcome.status {
            Status::Queued if !is_doubted && self.send.retry_at.take().is_some_and(|at| at > now) => sides.push("alc"),
            Status::Pending => {
                if let Some(at) = self.send.poll_at.take_if(|at| *at > now) {
                    self.send.poll_then.get_or_insert(at);
                    self.send.poll_at = Some(now);
                    sides.push("alc");
                }
            }
            _ => {}
        }
        let is_read = self.send.to_read.as_mut().and_then(|to_read| to_read.retry_at.take_if(|at| *at > now)).is_some();
        let is_written = (self.is_to_be_shown() || self.next_doubt().is_some())
            && self.attio.retry_at.take_if(|at| *at > now).is_some();
        if is_read | is_written | self.try_notes_now(now) | self.try_placement_now(now) {
            sides.push("attio");
        }
        let mut is_called = false;
        for owed in self.calls.owed.iter_mut().filter(|owed| owed.due > now) {
            owed.due = now;
            is_called = true;
        }
        if is_called {
            sides.push("workflows");
        }
        sides
    }

    /// Attio is written once more of what it has refused; `false` if nothing is owed to it so.
    pub fn write_again(&mut self, send: SendId) -> bool {
        if self.attio_write_given_up().is_none_or(|(showing, _)| showing.send != send) {
            return false;
        }
        if self.attio.leaves_something_out() {
            // Attio has taken the title, without what it refused: all of it is written.
            self.attio.set_shown(None);
        }
        self.attio.give_another_try();
        true
    }
}

impl PresentSend {
    /// Whether name and number stay with a send that has ended for that reason: one that is certainly not at ALC may be
    /// replayed, until the lead is forgotten.
    pub(super) fn keeps_person(&self, reason: Option<Reason>) -> bool {
        // A workspace that has gone for good leaves no name behind.
        let may_be_replayed = matches!(reason, Some(Reason::Rejected | Reason::NotSent));
        may_be_replayed && self.reach == Reach::NotThere && !self.beside_another
    }
}
