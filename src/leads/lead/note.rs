//! The note that a result is owed on the record: whether it is written, and what may still arrive of it.
//!
//! Attio makes a second note of a request that comes twice, so each attempt is marked before it is made. Promises that
//! no attempt follows one whose outcome is not known before Attio has been looked through twice for what that one may
//! have written, the second time when nothing can be on its way any more; and that what ALC said is kept, sealed, no
//! longer than it takes to write it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{aggregate::Lead, alc::Again, outcome::Status};
use crate::{
    clock::{Timestamp, later},
    ids::{RecordId, SendId},
    sealing::Sealed,
};

/// When Attio is looked through for an attempt without an answer, after it was begun: most often its note is there, and
/// what is not there the last time does not arrive any more.
const LOOK_AFTER: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(15 * 60)];
/// Notes that one lead is owed, over all its sends; the oldest give way.
const MOST: usize = 5;
/// Of what Attio said last, so many characters are kept.
const ERROR_KEPT: usize = 200;

/// The notes of a lead's sends, oldest first: the last one's, and those of earlier ones that are still owed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Notes(Vec<Note>);

/// The note of one send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Whose result it tells.
    pub send: SendId,
    /// What ALC said besides; erased once it is written, or will not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Sealed>,
    /// When the result came.
    pub since: Timestamp,
    /// Until when it is tried.
    pub until: Timestamp,
    /// How it ended; `None`: it is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<NoteEnded>,
    /// An attempt whose outcome is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
    /// Attempts begun.
    #[serde(default)]
    pub attempts: u32,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// Neither written nor looked for before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Attio refuses it until a person acts; retried slowly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// That record is gone: nothing is tried before a merge gives the lead another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_from: Option<RecordId>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How a note ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteEnded {
    /// Attio has it.
    Written,
    /// It is not tried any more.
    GivenUp,
}

/// An attempt whose outcome is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// When it was begun.
    pub at: Timestamp,
    /// On which record.
    pub record: RecordId,
    /// How many of [`LOOK_AFTER`] have found nothing.
    #[serde(default)]
    pub looks: u8,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Why a note is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteFailure {
    /// Certainly not taken: try again.
    Later,
    /// No answer: it may be there, or arrive late.
    Unseen,
    /// Certainly not taken, until a person acts.
    Refused,
    /// No such record.
    Gone(RecordId),
}

/// What is to be done for a note next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteDue {
    /// Write it; or give it up, if its time is over.
    Write(SendId),
    /// Look whether an attempt wrote it.
    Look(SendId),
}

impl Notes {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Note> {
        self.0.iter()
    }

    /// What is sealed of them.
    pub fn words_mut(&mut self) -> impl Iterator<Item = &mut Sealed> {
        self.0.iter_mut().filter_map(|note| note.words.as_mut())
    }

    /// That of a send.
    pub fn of(&self, send: SendId) -> Option<&Note> {
        self.0.iter().find(|note| note.send == send)
    }

    fn owed_mut(&mut self, send: SendId) -> Option<&mut Note> {
        self.0.iter_mut().find(|note| note.send == send && note.ended.is_none())
    }
}

impl Note {
    /// Whether it is still to be written.
    pub fn is_owed(&self) -> bool {
        self.ended.is_none()
    }

    /// When it is next tried or looked for, if its lead is shown at `record`.
    fn due(&self, record: RecordId, now: Timestamp) -> Option<(Timestamp, NoteDue)> {
        if self.ended.is_some() {
            return None;
        }
        let (at, due) = match &self.tried {
            _ if self.gone_from == Some(record) => (self.until, NoteDue::Write(self.send)),
            Some(tried) => {
                let look = LOOK_AFTER.get(usize::from(tried.looks));
                (look.map_or(tried.at, |after| later(tried.at, *after)), NoteDue::Look(self.send))
            }
            None => (now, NoteDue::Write(self.send)),
        };
        let at = Some(at).max(self.retry_at).unwrap_or(at);
        if at >= self.until { Some((self.until, NoteDue::Write(self.send))) } else { Some((at, due)) }
    }

    fn end(&mut self, ended: NoteEnded) {
        self.ended = Some(ended);
        (self.words, self.tried, self.retry_at) = (None, None, None);
        (self.failures, self.refused) = (0, false);
    }

    fn put_off(&mut self, again: Again) {
        self.failures = again.count(self.failures);
        self.retry_at = Some(again.at);
    }
}

impl Lead {
    /// A result that was not there `before` is owed a note, with what ALC said besides; `None`: the lead has just been
    /// made.
    pub fn owe_note(&mut self, before: Option<&Self>, words: Option<&Sealed>, keep_trying: Duration, now: Timestamp) {
        let was_complete = |send| {
            let outcome = before.and_then(|before| before.outcome_of(send));
            outcome.is_some_and(|outcome| outcome.status == Status::Complete)
        };
        let earlier = self.earlier.iter().map(|earlier| &earlier.outcome);
        let complete = earlier.chain([&self.send.outcome]).filter(|outcome| outcome.status == Status::Complete);
        let sends: Vec<_> = complete.map(|outcome| outcome.id).filter(|send| !was_complete(*send)).collect();
        for send in sends.into_iter().filter(|_| !self.forwarding) {
            if self.notes.of(send).is_some() {
                continue;
            }
            self.notes.0.retain(Note::is_owed);
            self.notes.0.push(Note {
                send,
                words: words.cloned(),
                since: now,
                until: later(now, keep_trying),
                ended: None,
                tried: None,
                attempts: 0,
                failures: 0,
                retry_at: None,
                refused: false,
                gone_from: None,
                last_error: None,
                extra: Map::new(),
            });
            let surplus = self.notes.0.len().saturating_sub(MOST);
            self.notes.0.drain(..surplus);
        }
    }

    /// What is to be done for a note first, and when.
    pub fn next_note(&self, now: Timestamp) -> Option<(Timestamp, NoteDue)> {
        let record = self.shown_at();
        self.notes.0.iter().filter_map(|note| note.due(record, now)).min_by_key(|(at, _)| *at)
    }

    /// An attempt is about to be made, on that record; `false`: none is to be made.
    pub fn begin_note(&mut self, send: SendId, now: Timestamp) -> bool {
        let record = self.shown_at();
        let Some(note) = self.notes.owed_mut(send).filter(|note| note.tried.is_none() && now < note.until) else {
            return false;
        };
        note.attempts = note.attempts.saturating_add(1);
        note.gone_from = None;
        note.tried = Some(Tried { at: now, record, looks: 0, extra: Map::new() });
        true
    }

    /// Attio has the note.
    pub fn note_written(&mut self, send: SendId) {
        if let Some(note) = self.notes.0.iter_mut().find(|note| note.send == send) {
            note.end(NoteEnded::Written);
            note.last_error = None;
        }
    }

    /// The note is not tried any more.
    pub fn give_note_up(&mut self, send: SendId) {
        if let Some(note) = self.notes.owed_mut(send) {
            note.end(NoteEnded::GivenUp);
        }
    }

    /// Attio did not take an attempt of that number, for all that is known.
    pub fn note_not_written(
        &mut self,
        (send, attempt): (SendId, u32),
        failure: NoteFailure,
        again: Again,
        detail: &str,
    ) {
        // What is known of an attempt says nothing of one that another worker has begun since.
        let Some(note) = self.notes.owed_mut(send).filter(|note| note.attempts == attempt) else { return };
        note.put_off(again);
        note.last_error = Some(detail.chars().take(ERROR_KEPT).collect());
        match failure {
            // The looks have times of their own.
            NoteFailure::Unseen => note.retry_at = None,
            NoteFailure::Later => note.tried = None,
            NoteFailure::Refused => (note.tried, note.refused) = (None, true),
            NoteFailure::Gone(record) => {
                (note.tried, note.words, note.retry_at) = (None, None, None);
                note.gone_from = Some(record);
            }
        }
    }

    /// Attio was looked through after `looks` looks that had found nothing; whether the note is there.
    pub fn note_looked_for(&mut self, (send, attempt): (SendId, u32), looks: u8, is_there: bool) {
        if is_there {
            return self.note_written(send);
        }
        let Some(note) = self.notes.owed_mut(send).filter(|note| note.attempts == attempt) else { return };
        let Some(tried) = note.tried.as_mut().filter(|tried| tried.looks == looks) else { return };
        tried.looks = looks.saturating_add(1);
        if usize::from(tried.looks) >= LOOK_AFTER.len() {
            note.tried = None;
        }
        (note.failures, note.retry_at) = (0, None);
    }

    /// Attio could not be looked through, and is looked through again then.
    pub fn note_not_looked_for(&mut self, send: SendId, again: Again, detail: &str) {
        if let Some(note) = self.notes.owed_mut(send) {
            note.put_off(again);
            note.last_error = Some(detail.chars().take(ERROR_KEPT).collect());
        }
    }

    /// A person who is gone leaves no words behind.
    pub(super) fn forget_words(&mut self) {
        self.notes.0.iter_mut().for_each(|note| note.words = None);
    }

    /// What waits only for a next try is tried now; whether anything did. A look keeps its time: it comes when nothing
    /// can be on its way any more.
    pub(super) fn try_notes_now(&mut self, now: Timestamp) -> bool {
        let waiting = self.notes.0.iter_mut().filter(|note| note.is_owed());
        waiting.fold(false, |any, note| any | note.retry_at.take_if(|at| *at > now).is_some())
    }
}
