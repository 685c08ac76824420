//! What Attio shows of a record, held against the lead that speaks for it: what a full sync finds, and what it does.
//!
//! Promises that a sync never turns a finished record into Pending, that it leaves alone what a live send is about, and
//! that what it has set right once it finds right from then on.

use super::{
    aggregate::Lead,
    outcome::Status,
    reach::Reach,
    shown::{Showing, Title},
};
use crate::{
    clock::{Timestamp, earlier},
    ids::RecordId,
};

/// How a record that Attio shows as Pending stands to its lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Nothing differs that the lead's own steps do not see to.
    Settled,
    /// The send has ended, and Attio, which has taken that once or has said that the record is gone, shows it as
    /// pending.
    Undone(Showing),
    /// The send has ended, and Attio refuses to show it until a person acts: a dead letter.
    Refused,
    /// The send has ended in a way of which Attio is told nothing.
    Untold,
}

impl Lead {
    /// How `record`, which Attio shows as Pending, stands to this lead, which speaks for it.
    pub fn compared(&self, record: RecordId) -> Compared {
        if self.send.outcome.status.is_live() || self.is_of_another_workspace() {
            return Compared::Settled;
        }
        match self.wanted().filter(|_| self.shown_at() == record) {
            None => Compared::Untold,
            Some(wanted) if wanted.title == Title::Pending => Compared::Settled,
            Some(wanted) if self.attio.shows(wanted) || self.attio.gone => Compared::Undone(wanted),
            Some(_) if self.attio.refused => Compared::Refused,
            Some(_) => Compared::Settled,
        }
    }

    /// Attio does not show `showing`, which it has taken once: it is written again. `false`: nothing of that is so any
    /// more.
    pub fn show_again(&mut self, showing: Showing) -> bool {
        if self.compared(self.shown_at()) != Compared::Undone(showing) {
            return false;
        }
        self.attio.set_shown(None);
        self.attio.lead_id = None;
        self.attio.give_another_try();
        true
    }

    /// A full sync has written Failed into the record, or may have, while a press made this lead: what the lead is to
    /// show is written again, and read back later in case that write is still under way.
    pub fn overwritten(&mut self, now: Timestamp) {
        let written = Showing { send: self.send.outcome.id, title: Title::Failed };
        if self.wanted() == Some(written) {
            return;
        }
        self.attio.doubt(written, now);
        if self.wanted().is_some_and(|wanted| self.attio.shows(wanted)) {
            self.attio.set_shown(None);
            self.attio.lead_id = None;
        }
    }

    /// Whether ALC has had it for longer than `for_long`, and has told no result.
    pub fn is_worth_asking(&self, for_long: std::time::Duration, now: Timestamp) -> bool {
        let Reach::There { since } = self.send.reach else { return false };
        self.send.outcome.status == Status::Pending && since <= earlier(now, for_long)
    }

    /// Has ALC asked for its result by `at`, if not before; `false`: it waits for none.
    pub fn ask_by(&mut self, at: Timestamp) -> bool {
        let is_pending = self.send.outcome.status == Status::Pending;
        if is_pending && self.send.poll_at.is_none_or(|poll_at| poll_at > at) {
            self.send.poll_at = Some(at);
        }
        is_pending
    }
}
