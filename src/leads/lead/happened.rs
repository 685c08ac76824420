//! What happened to a lead in a change, in the words of its [history](super::history).
//!
//! Read off the lead before and after the change. Promises that no transition has to say it, and that a change which is
//! decided anew after a conflict is told once.

use std::borrow::Cow;

use super::{
    aggregate::Lead,
    note::{Note, NoteEnded},
    outcome::Status,
    pipeline::{Placement, PlacementEnded},
    reach::Reach,
    send::PresentSend,
    shown::Title,
};
use crate::{clock::Timestamp, upstream};

impl Lead {
    /// Writes down what has happened since it was `before`; `None`: it has just been made.
    pub fn keep_history(&mut self, before: Option<&Self>, now: Timestamp) {
        for what in happened(before, self) {
            let is_of = |words: &[&str]| words.iter().any(|word| what.starts_with(word));
            let said = if is_of(&["alc-", "failed-", "not-opened"]) {
                self.send.outcome.last_error.as_deref()
            } else {
                self.attio.error.as_deref().filter(|_| is_of(&["attio-f", "attio-un", "attio-r"]))
            };
            let said = said.map(upstream::masked);
            self.history.add(what, said.as_deref(), now);
        }
    }

    /// Writes down what an operator has asked for.
    pub fn keep_request(&mut self, what: &'static str, now: Timestamp) {
        self.history.add(what.into(), None, now);
    }
}

/// In the order in which a send goes its way.
fn happened(before: Option<&Lead>, after: &Lead) -> Vec<Cow<'static, str>> {
    let Some(before) = before else {
        let made = [
            (after.forwarding, "merged"),
            (after.adopted, "adopted"),
            (after.send.by_entry, "entered-list"),
            (!after.forwarding, "pressed"),
        ];
        let made = made.into_iter().find(|(is_so, _)| *is_so);
        let waits = (!after.calls.waiting.is_empty(), "workflow-waits");
        return said(made).chain(said([waits])).chain(ended(after)).collect();
    };
    let is_same_send = before.send.outcome.id == after.send.outcome.id;
    let has_ended = before.send.outcome.status.is_live()
        || !is_same_send
        || before.send.outcome.status != after.send.outcome.status;
    let is_entered = before.entries != after.entries;
    let begun = [
        (is_merged(before, after), "merged"),
        (before.joined.is_none() && after.joined.is_some(), "joined"),
        (before.joined.is_some() && after.joined.is_none(), "speaks-again"),
        (!is_same_send && after.adopted, "adopted"),
        (!is_same_send && !after.adopted && !is_entered, "pressed"),
        (is_entered, "entered-list"),
    ];
    let asked = if is_same_send { at_alc(before, after) } else { Vec::new() };
    let asked = read(before, after).into_iter().filter(|_| is_same_send).chain(asked);
    let end = ended(after).filter(|_| has_ended);
    let shown = at_attio(before, after).into_iter().chain(at_workflows(before, after));
    let shown = shown.chain(after_the_record(before, after));
    said(begun).chain(said(asked)).chain(end).chain(said(shown)).collect()
}

fn said(all: impl IntoIterator<Item = (bool, &'static str)>) -> impl Iterator<Item = Cow<'static, str>> {
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| Cow::Borrowed(what))
}

fn is_merged(before: &Lead, after: &Lead) -> bool {
    before.merged_into != after.merged_into || before.attio_record != after.attio_record
}

/// Who the person is that a list entry named.
fn read(before: &Lead, after: &Lead) -> [(bool, &'static str); 2] {
    let (was, is) = (&before.send, &after.send);
    let failures = |send: &PresentSend| send.to_read.as_ref().map_or(0, |to_read| to_read.failures);
    [(failures(is) > failures(was), "attio-failed"), (was.to_read.is_some() && is.person.is_some(), "person-read")]
}

fn at_alc(before: &Lead, after: &Lead) -> Vec<(bool, &'static str)> {
    let (was, is) = (&before.send, &after.send);
    let is_unanswered = was.reach != is.reach && is.reach == Reach::InDoubt;
    // A look-up that an operator had asked for is not one of the schedule's.
    let is_asked_besides = was.poll_then.is_some() && is.poll_then.is_none() && is.outcome.status == Status::Pending;
    let has_failed = !is_unanswered && is.failures > was.failures;
    let has_accepted = was.outcome.status == Status::Queued && is.outcome.status == Status::Pending;
    vec![
        (is_unanswered, "alc-unanswered"),
        (has_failed && is.unopened, "not-opened"),
        (has_failed && !is.unopened, "alc-failed"),
        (is.polls > was.polls || is_asked_besides, "alc-asked"),
        (has_accepted, "accepted"),
    ]
}

fn at_attio(before: &Lead, after: &Lead) -> [(bool, &'static str); 6] {
    let shown = |lead: &Lead| lead.attio.shown.as_ref().map(|shown| shown.showing);
    let newly_shown = shown(after).filter(|now| shown(before) != Some(*now));
    let (was, is) = (&before.attio, &after.attio);
    let later = before.earlier.iter().any(|earlier| {
        let now = after.earlier.iter().find(|now| now.outcome.id == earlier.outcome.id);
        now.is_some_and(|now| now.outcome.status != earlier.outcome.status)
    });
    [
        (later, "earlier-send-complete"),
        (newly_shown.is_some(), newly_shown.map_or("", |showing| shows(showing.title))),
        (is.doubts.len() > was.doubts.len(), "attio-unanswered"),
        (is.failures > was.failures, "attio-failed"),
        (is.refused && !was.refused, "attio-refused"),
        (is.gone && !was.gone, "record-gone"),
    ]
}

fn at_workflows(before: &Lead, after: &Lead) -> [(bool, &'static str); 4] {
    let (was, is) = (&before.calls, &after.calls);
    let is_owed = |number: u64| is.owed.iter().any(|owed| owed.number == number);
    let is_given_up = |number: u64| is.given_up.iter().any(|given_up| given_up.call.number == number);
    let gone = || was.owed.iter().filter(|owed| !is_owed(owed.number));
    let has_failed = was.owed.iter().any(|was| {
        let now = is.owed.iter().find(|now| now.number == was.number);
        now.is_some_and(|now| now.failures > was.failures)
    });
    [
        (is.waiting.len() > was.waiting.len(), "workflow-waits"),
        (gone().any(|owed| is_given_up(owed.number)), "workflow-given-up"),
        (gone().any(|owed| !is_given_up(owed.number)), "workflow-told"),
        (has_failed, "workflow-failed"),
    ]
}

fn after_the_record(before: &Lead, after: &Lead) -> [(bool, &'static str); 6] {
    let was_owed = |send| before.notes.of(send).is_none_or(Note::is_owed);
    let notes = |ended| after.notes.iter().any(|it| it.ended == Some(ended) && was_owed(it.send));
    let note_failed = after
        .notes
        .iter()
        .any(|it| before.notes.of(it.send).is_some_and(|was| it.trying.failures > was.trying.failures));
    let placed = after.pipeline.as_ref();
    let was = before.pipeline.as_ref().filter(|was| placed.is_some_and(|it| it.send == was.send));
    let is_now = |ended| placed.is_some_and(|it| it.ended == Some(ended)) && was.is_none_or(Placement::is_owed);
    [
        (notes(NoteEnded::Written), "note-written"),
        (note_failed, "note-failed"),
        (notes(NoteEnded::GivenUp), "note-given-up"),
        (is_now(PlacementEnded::Placed), "placed"),
        (placed.zip(was).is_some_and(|(it, was)| it.trying.failures > was.trying.failures), "placing-failed"),
        (is_now(PlacementEnded::GivenUp), "placing-given-up"),
    ]
}

fn ended(lead: &Lead) -> Option<Cow<'static, str>> {
    let outcome = &lead.send.outcome;
    match (outcome.status, outcome.reason) {
        (Status::Complete, _) => Some("complete".into()),
        (Status::Failed, Some(reason)) => Some(format!("failed-{}", reason.name()).into()),
        (Status::Failed, None) => Some("failed".into()),
        (Status::Queued | Status::Pending, _) => None,
    }
}

const fn shows(title: Title) -> &'static str {
    match title {
        Title::Pending => "attio-shows-pending",
        Title::Complete => "attio-shows-complete",
        Title::Failed => "attio-shows-failed",
    }
}
