//! The note that a result is owed on the record: whether it is written, and what may still arrive of it.
//!
//! Attio makes a second note of a request that comes twice, so each attempt is marked before it is made. Promises that
//! no attempt follows one whose outcome is not known before Attio has been looked through twice for what that one may
//! have written, the second time when nothing can be on its way any more; and that what ALC said is kept, sealed, no
//! longer than it takes to write it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::trying::Trying;
use crate::{
    clock::{Timestamp, later},
    ids::{RecordId, SendId},
    sealing::Sealed,
};

/// When Attio is looked through for an attempt without an answer, after it was begun: most often its note is there, and
/// what is not there the last time does not arrive any more.
pub(super) const LOOK_AFTER: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(15 * 60)];
/// How long what ALC said outlives the record: the merge that ended it may be told a moment after.
const MERGE_IS_TOLD_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Notes that one lead is owed, over all its sends; the oldest give way.
pub(super) const MOST: usize = 5;

/// The notes of a lead's sends, oldest first: the last one's, and those of earlier ones that are still owed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Notes(pub(super) Vec<Note>);

/// The note of one send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Whose result it tells.
    pub send: SendId,
    /// What ALC said besides; erased once it is written, or will not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Sealed>,
    /// The record is gone: `words` are erased then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words_until: Option<Timestamp>,
    /// When the result came.
    pub since: Timestamp,
    /// How it ended; `None`: it is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<NoteEnded>,
    /// An attempt whose outcome is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
    /// Attempts begun.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub attempts: u32,
    /// How it goes with writing it.
    #[serde(flatten)]
    pub trying: Trying,
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
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
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

    /// That of a send, if it is owed.
    pub(super) fn owed_mut(&mut self, send: SendId) -> Option<&mut Note> {
        self.0.iter_mut().find(|note| note.send == send && note.ended.is_none())
    }
}

impl Note {
    /// Whether it is still to be written.
    pub fn is_owed(&self) -> bool {
        self.ended.is_none()
    }

    /// When it is next tried or looked for, if its lead is shown at `record`.
    pub(super) fn due(&self, record: RecordId, now: Timestamp) -> Option<(Timestamp, NoteDue)> {
        if self.ended.is_some() {
            return None;
        }
        let (at, due) = match &self.tried {
            _ if self.trying.gone_from == Some(record) => (self.trying.until, NoteDue::Write(self.send)),
            Some(tried) => {
                let look = LOOK_AFTER.get(usize::from(tried.looks));
                (look.map_or(tried.at, |after| later(tried.at, *after)), NoteDue::Look(self.send))
            }
            None => (now, NoteDue::Write(self.send)),
        };
        let at = Some(at).max(self.trying.retry_at).unwrap_or(at);
        let until = self.trying.until;
        if at >= until { Some((until, NoteDue::Write(self.send))) } else { Some((at, due)) }
    }

    /// It is over.
    pub(super) fn end(&mut self, ended: NoteEnded) {
        self.ended = Some(ended);
        (self.words, self.words_until, self.tried) = (None, None, None);
        self.trying.end();
    }

    /// The record has become another one. What an attempt wrote there is on that one, and may have been looked for in
    /// vain where the record was gone already.
    pub(super) fn move_from(&mut self, record: RecordId, now: Timestamp) {
        self.words_until = None;
        if self.attempts > 0 && self.tried.is_none() {
            self.tried = Some(Tried { at: now, record, looks: 0, extra: Map::new() });
        }
    }

    /// The record is gone. What ALC said is kept no longer than Attio needs to tell of a merge.
    pub(super) fn forget_words_soon(&mut self, now: Timestamp) {
        if self.words.is_some() && self.words_until.is_none() {
            self.words_until = Some(later(now, MERGE_IS_TOLD_WITHIN));
        }
    }
}
