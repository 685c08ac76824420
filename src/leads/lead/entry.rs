//! Sends that a list entry in Attio has asked for: each entry once, and the person read from Attio before ALC is asked.
//!
//! Promises that an entry which is told again asks for nothing, that nothing is sent before Attio has named a number
//! and a name, and that a record without one ends as what it lacks, which Attio shows.

use super::{
    aggregate::Lead,
    alc::Again,
    known::KnownPerson,
    outcome::{Reason, Status},
    remembered::remember,
    send::{PresentSend, SealedPerson},
    to_read::ToRead,
};
use crate::{
    clock::Timestamp,
    ids::{EntryId, SendId},
};

/// Entries remembered. Attio repeats an event for three days, in which nobody puts a person into a list as often.
const ENTRIES_KEPT: usize = 20;
/// After so many changes of the record a person is not read anew for another one.
const READ_ANEW: u32 = 5;

impl Lead {
    /// Remembers an entry; `false` if it was counted before. In which call it is told says nothing: one call may tell
    /// of several entries of a record, and of its deletion.
    pub fn remember_entry(&mut self, entry: EntryId) -> bool {
        remember(&mut self.entries, entry, ENTRIES_KEPT)
    }

    /// A send of an entry has begun: what Attio had a moment ago need not be asked for.
    pub fn read_from_memory(&mut self, now: Timestamp) {
        let known = self.known.as_ref().filter(|known| now < known.until()).map(|known| known.person.clone());
        if let Some(person) = known.filter(|_| self.send.to_read.is_some()) {
            self.send.to_read = None;
            self.send.person = Some(person);
        }
    }

    /// Attio may have another name or number by now, also than the one that it is naming; `false` if none was
    /// remembered, and none is awaited.
    pub fn forget_known(&mut self) -> bool {
        let to_read = self.send.to_read.as_mut();
        let is_awaited = to_read.map(|to_read| to_read.changes = to_read.changes.saturating_add(1)).is_some();
        self.known.take().is_some() || is_awaited
    }

    /// How often the record of that send had changed when Attio was asked.
    pub fn changes(&self) -> u32 {
        self.send.to_read.as_ref().map_or(0, |to_read| to_read.changes)
    }

    /// Attio has named the person; when it was asked, the record of that send had changed so often.
    pub fn person_read(&mut self, (send, changes): (SendId, u32), person: SealedPerson, now: Timestamp) {
        if self.is_to_be_read(send) && !self.is_to_be_read_anew(changes) {
            let has_changed = self.changes() != changes;
            self.send.to_read = None;
            self.known = (!has_changed).then(|| KnownPerson::new(person.clone(), now));
            self.send.person = Some(person);
            self.send.outcome.last_error = None;
            self.send.outcome.updated_at = now;
        }
    }

    /// A press that joins the send has named the person, whom Attio need not be asked for then; `false` if the send
    /// waits for no name.
    pub fn person_told(&mut self, person: impl FnOnce() -> SealedPerson, now: Timestamp) -> bool {
        if self.send.to_read.take().is_none() {
            return false;
        }
        self.send.person = Some(person());
        self.send.outcome.last_error = None;
        self.send.outcome.updated_at = now;
        true
    }

    /// Attio has named the person, and not all that ALC needs.
    pub fn person_lacks(&mut self, (send, changes): (SendId, u32), what: Reason, now: Timestamp) {
        if self.is_to_be_read(send) && !self.is_to_be_read_anew(changes) {
            self.send.outcome.last_error = None;
            self.send.finish(Status::Failed, Some(what), now);
        }
    }

    /// Attio has no such record.
    pub fn person_gone(&mut self, send: SendId, now: Timestamp) {
        if self.is_to_be_read(send) {
            self.record_deleted(now);
        }
    }

    /// Attio gave no answer, and is asked again then.
    pub fn person_not_read(&mut self, send: SendId, again: Again, detail: Option<String>, now: Timestamp) {
        if !self.is_to_be_read(send) {
            return;
        }
        if let Some(to_read) = &mut self.send.to_read {
            to_read.failures = again.count(to_read.failures);
            to_read.retry_at = Some(again.at);
        }
        if detail.is_some() {
            self.send.outcome.last_error = detail;
        }
        self.send.outcome.updated_at = now;
    }

    /// Whether what Attio has just named may be from before a change: the old number would be sent to, or a number that
    /// is there by now be missed. Not for ever, where another integration keeps writing.
    fn is_to_be_read_anew(&self, changes: u32) -> bool {
        self.changes() != changes && changes < READ_ANEW
    }

    /// Whether Attio is to be asked who the person of this send is.
    fn is_to_be_read(&self, send: SendId) -> bool {
        self.send.outcome.id == send && self.send.to_read.is_some()
    }
}

impl PresentSend {
    /// A queued send that a list entry has asked for.
    pub fn by_entry(id: SendId, now: Timestamp) -> Self {
        Self { by_entry: true, to_read: Some(ToRead::default()), ..Self::new(id, now) }
    }
}
