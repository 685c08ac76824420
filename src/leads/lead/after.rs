//! What a result is owed in Attio besides the record: owed, written, refused, looked for, given up.
//!
//! Promises that every transition is valid in every state, and that what is known of one attempt says nothing of
//! another one.

use std::time::Duration;

use serde_json::Map;

use super::{
    aggregate::Lead,
    alc::Again,
    note::{LOOK_AFTER, MOST, Note, NoteDue, NoteEnded, NoteFailure, Tried},
    outcome::{Outcome, Reason, Status},
    pipeline::{Placement, PlacementEnded, PlacementFailure},
    trying::Trying,
};
use crate::{
    clock::{Timestamp, later},
    ids::{RecordId, SendId},
    sealing::Sealed,
};

/// Of what Attio said last, so many characters are kept.
const ERROR_KEPT: usize = 200;

/// It is tried again then.
fn put_off(trying: &mut Trying, again: Again, detail: &str) {
    trying.failures = again.count(trying.failures);
    trying.retry_at = Some(again.at);
    trying.last_error = Some(detail.chars().take(ERROR_KEPT).collect());
}

impl Lead {
    /// A result that was not there `before` is owed a note, with what ALC said besides; `None`: the lead has just been
    /// made. A send that is complete without a word has no result to write of; one that a deletion has ended may have
    /// one, and a merge that is told later brings it back.
    pub fn owe_note(&mut self, before: Option<&Self>, words: Option<&Sealed>, keep_trying: Duration, now: Timestamp) {
        let has_result = |outcome: &Outcome| {
            let is_kept = outcome.status == Status::Complete || outcome.reason == Some(Reason::RecordDeleted);
            is_kept && outcome.result.is_some()
        };
        let had_result = |now: &Outcome| {
            let then = before.and_then(|before| before.outcome_of(now.id));
            then.is_some_and(|then| has_result(then) && then.status == now.status)
        };
        let earlier = self.earlier.iter().map(|earlier| &earlier.outcome);
        let is_new = |outcome: &&Outcome| has_result(outcome) && !had_result(outcome);
        let sends: Vec<_> = earlier.chain([&self.send.outcome]).filter(is_new).map(|outcome| outcome.id).collect();
        for send in sends.into_iter().filter(|_| !self.forwarding) {
            if self.notes.of(send).is_some() {
                continue;
            }
            self.notes.0.retain(Note::is_owed);
            self.notes.0.push(Note {
                send,
                words: words.cloned(),
                words_until: None,
                since: now,
                ended: None,
                tried: None,
                attempts: 0,
                trying: Trying::until(later(now, keep_trying)),
                extra: Map::new(),
            });
            let surplus = self.notes.0.len().saturating_sub(MOST);
            self.notes.0.drain(..surplus);
        }
        if self.attio.gone {
            self.forget_words_soon(now);
        }
    }

    /// What is to be done for a note first, and when.
    pub fn next_note(&self, now: Timestamp) -> Option<(Timestamp, NoteDue)> {
        let record = self.shown_at();
        let due = |note: &Note| {
            let given_up = || (note.trying.until, NoteDue::Write(note.send));
            let is_told = self.is_told(note.send);
            if is_told { note.due(record, now) } else { note.is_owed().then(given_up) }
        };
        self.notes.iter().filter_map(due).min_by_key(|(at, _)| *at)
    }

    /// Whether Attio may show the result of that send: one that a deletion has ended is nobody's to read.
    pub(super) fn is_told(&self, send: SendId) -> bool {
        self.outcome_of(send).is_some_and(|outcome| outcome.status == Status::Complete)
    }

    /// An attempt is about to be made, on that record; `false`: none is to be made.
    pub fn begin_note(&mut self, send: SendId, now: Timestamp) -> bool {
        let record = self.shown_at();
        let Some(note) = self.notes.owed_mut(send).filter(|note| note.tried.is_none() && now < note.trying.until)
        else {
            return false;
        };
        note.attempts = note.attempts.saturating_add(1);
        note.trying.gone_from = None;
        note.tried = Some(Tried { at: now, record, looks: 0, extra: Map::new() });
        true
    }

    /// Attio has the note.
    pub fn note_written(&mut self, send: SendId) {
        if let Some(note) = self.notes.0.iter_mut().find(|note| note.send == send) {
            note.end(NoteEnded::Written);
            note.trying.last_error = None;
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
        now: Timestamp,
    ) {
        let shown_at = self.shown_at();
        // What is known of an attempt says nothing of one that another worker has begun since.
        let Some(note) = self.notes.owed_mut(send).filter(|note| note.attempts == attempt) else { return };
        put_off(&mut note.trying, again, detail);
        match failure {
            // The looks have times of their own.
            NoteFailure::Unseen => note.trying.retry_at = None,
            NoteFailure::Later => note.tried = None,
            NoteFailure::Refused => (note.tried, note.trying.refused) = (None, true),
            NoteFailure::Gone(record) => {
                note.tried = None;
                note.trying.gone(record);
                if record == shown_at {
                    note.forget_words_soon(now);
                }
            }
        }
    }

    /// Attio was looked through, of a lead that was shown at `record` then, after `looks` looks that had found nothing;
    /// whether the note is there.
    pub fn note_looked_for(&mut self, (send, attempt): (SendId, u32), (record, looks): (RecordId, u8), is_there: bool) {
        if is_there {
            return self.note_written(send);
        }
        if self.shown_at() != record {
            // A merge has taken the note along, perhaps.
            return;
        }
        let Some(note) = self.notes.owed_mut(send).filter(|note| note.attempts == attempt) else { return };
        let Some(tried) = note.tried.as_mut().filter(|tried| tried.looks == looks) else { return };
        tried.looks = looks.saturating_add(1);
        if usize::from(tried.looks) >= LOOK_AFTER.len() {
            note.tried = None;
        }
        (note.trying.failures, note.trying.retry_at) = (0, None);
    }

    /// Attio could not be looked through, and is looked through again then.
    pub fn note_not_looked_for(&mut self, send: SendId, again: Again, detail: &str) {
        if let Some(note) = self.notes.owed_mut(send) {
            put_off(&mut note.trying, again, detail);
        }
    }

    /// The record is gone: what ALC said of the person is kept no longer than Attio needs to tell of a merge.
    pub(super) fn forget_words_soon(&mut self, now: Timestamp) {
        self.notes.0.iter_mut().for_each(|note| note.forget_words_soon(now));
    }

    /// A merge has made another record of that one, on which the notes are written from now on.
    pub(super) fn move_notes(&mut self, from: RecordId, now: Timestamp) {
        let told: Vec<_> = self.notes.iter().map(|note| note.send).filter(|send| self.is_told(*send)).collect();
        for note in self.notes.0.iter_mut().filter(|note| note.is_owed() && told.contains(&note.send)) {
            note.move_from(from, now);
        }
    }

    /// When words are to be erased next, of a record that is gone.
    pub fn words_until(&self) -> Option<Timestamp> {
        self.notes.iter().filter(|note| self.is_to_go(note)).filter_map(|note| note.words_until).min()
    }

    /// A person who is gone leaves no words behind.
    pub fn forget_words(&mut self, now: Timestamp) {
        let is_over = |note: &&Note| self.is_to_go(note) && note.words_until.is_some_and(|until| until <= now);
        let over: Vec<_> = self.notes.iter().filter(is_over).map(|note| note.send).collect();
        for note in self.notes.0.iter_mut().filter(|note| over.contains(&note.send)) {
            (note.words, note.words_until) = (None, None);
        }
    }

    /// Whether the record of a note is gone still. One that a person has restored, or that a release before this
    /// one has merged into another, is to have its note.
    fn is_to_go(&self, note: &Note) -> bool {
        self.attio.gone || note.trying.gone_from == Some(self.shown_at()) || !self.is_told(note.send)
    }

    /// What waits only for a next try is tried now; whether anything did. A look keeps its time: it comes when nothing
    /// can be on its way any more.
    pub(super) fn try_notes_now(&mut self, now: Timestamp) -> bool {
        let waiting = self.notes.0.iter_mut().filter(|note| note.is_owed());
        waiting.fold(false, |any, note| any | note.trying.now(now))
    }
}

impl Lead {
    /// A result that was not there `before` puts the record where it says; `stage_of` names the stage, if any: a result
    /// that names none leaves the list alone. What an earlier send came to late says nothing over the present one's
    /// head.
    pub fn owe_placement<'a>(
        &mut self,
        before: Option<&Self>,
        stage_of: impl FnOnce(&str) -> Option<&'a str>,
        keep_trying: Duration,
        now: Timestamp,
    ) {
        let outcome = &self.send.outcome;
        let was_complete = before.and_then(|before| before.outcome_of(outcome.id));
        if outcome.status != Status::Complete
            || was_complete.is_some_and(|before| before.status == Status::Complete)
            || self.forwarding
            || self.joined.is_some()
        {
            return;
        }
        let Some(stage) = outcome.result.as_deref().and_then(stage_of) else { return };
        self.pipeline = Some(Placement {
            send: outcome.id,
            stage: stage.to_owned(),
            ended: None,
            trying: Trying::until(later(now, keep_trying)),
            extra: Map::new(),
        });
    }

    /// When the record is next to be placed.
    pub fn next_placement(&self, now: Timestamp) -> Option<Timestamp> {
        // The lead that speaks for the record has the word.
        let placement = self.pipeline.as_ref().filter(|it| it.is_owed() && self.joined.is_none())?;
        let Trying { until, retry_at, gone_from, .. } = &placement.trying;
        if *gone_from == Some(self.shown_at()) {
            return Some(*until);
        }
        Some(retry_at.unwrap_or(now).min(*until))
    }

    /// Attio has placed the record there, on behalf of that send. Where a merge was told of meanwhile, the record made
    /// of two has not been placed yet.
    pub fn placed(&mut self, send: SendId, record: RecordId) {
        self.overtake_placement(send);
        if self.shown_at() == record
            && let Some(placement) = self.owed_placement(send)
        {
            placement.end(PlacementEnded::Placed);
            placement.trying.last_error = None;
        }
    }

    /// Attio did not take it, for all that is known.
    pub fn not_placed(&mut self, send: SendId, failure: PlacementFailure, again: Again, detail: &str) {
        if failure == PlacementFailure::Later {
            self.overtake_placement(send);
        }
        let Some(placement) = self.owed_placement(send) else { return };
        put_off(&mut placement.trying, again, detail);
        match failure {
            PlacementFailure::Later => {}
            PlacementFailure::Refused => placement.trying.refused = true,
            PlacementFailure::Gone(record) => placement.trying.gone(record),
        }
    }

    /// It is not tried any more.
    pub fn give_placement_up(&mut self, send: SendId) {
        if let Some(placement) = self.owed_placement(send) {
            placement.end(PlacementEnded::GivenUp);
        }
    }

    /// What waits only for a next try is tried now; whether it did.
    pub(super) fn try_placement_now(&mut self, now: Timestamp) -> bool {
        let placement = self.pipeline.as_mut().filter(|it| it.is_owed());
        placement.is_some_and(|it| it.trying.now(now))
    }

    /// A worker that stood still has written, or may have, what an earlier send came to; if the newer stage was written
    /// before, the list shows the older one, and the newer is owed again.
    fn overtake_placement(&mut self, send: SendId) {
        let is_written_over = |it: &&mut Placement| it.send != send && it.ended == Some(PlacementEnded::Placed);
        if let Some(newer) = self.pipeline.as_mut().filter(is_written_over) {
            newer.ended = None;
        }
    }

    fn owed_placement(&mut self, send: SendId) -> Option<&mut Placement> {
        self.pipeline.as_mut().filter(|placement| placement.send == send && placement.is_owed())
    }
}
