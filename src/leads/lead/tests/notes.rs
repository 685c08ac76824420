//! The note and the place that a result is owed: the note is written once whatever is lost, the place is the newest.
//!
//! The model is Attio's: a POST makes a note each time that it arrives, now, late, or never, whatever its worker sees
//! of it; a look sees what has arrived.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{
    aggregate::Lead,
    alc::Again,
    merge::{self, Known, Unknown},
    next_step::{AlcAccess, Deadlines, Step, Surroundings},
    note::{NoteDue, NoteFailure, Notes},
    outcome::Status,
    pipeline::{Placement, PlacementFailure},
    send::PresentSend,
    shown::{Showing, Title},
    view::OwedView,
};
use crate::{
    clock::{Timestamp, from_micros, later},
    ids::{RecordId, SendId},
    sealing::Sealed,
};

const DAY: Duration = Duration::from_secs(86_400);
/// No request arrives later than that: less than the last look.
const LATEST: u64 = 14 * 60;

fn deadlines() -> Deadlines {
    Deadlines { send: DAY, result: DAY * 30, retention: DAY * 90, poll_after: None }
}

struct World {
    now: Timestamp,
    deadlines: Deadlines,
    lead: Lead,
    /// When each POST arrives at Attio, of which send.
    posts: Vec<(Timestamp, SendId)>,
    attempts: u32,
}

/// How long what ALC said outlives the record.
const A_MERGE_IS_TOLD: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Clone, Copy)]
enum Fate {
    Done,
    /// Attio does it so many seconds later, and its worker sees nothing.
    DoneUnseen(u64),
    LostUnseen,
    NotTaken,
    Refused,
}

#[derive(Debug, Clone, Copy)]
enum Worker {
    Records,
    /// It vanishes, and another goes on.
    Crashes,
    /// Its lease goes to another; what it learnt is recorded so many seconds later.
    RecordsLate(u64),
}

impl World {
    /// A lead whose result Attio shows, with a note owed.
    fn new() -> Self {
        let now = from_micros(1_000_000);
        let mut world = Self {
            now,
            deadlines: deadlines(),
            lead: Lead::new(RecordId::random(), PresentSend::new(SendId::random(), now)),
            posts: Vec::new(),
            attempts: 0,
        };
        world.finish("qualified");
        world
    }

    /// ALC tells a result of the present send, and Attio shows it.
    fn finish(&mut self, result: &str) {
        let before = self.lead.clone();
        self.lead.begin(self.now);
        self.lead.finish(result, None, None, self.now);
        let words = Sealed::from_text("what was said");
        self.lead.owe_note(Some(&before), Some(&words), self.deadlines.retention, self.now);
        let stage = |result: &str| (result == "qualified").then_some("Won");
        self.lead.owe_placement(Some(&before), stage, self.deadlines.retention, self.now);
    }

    fn show(&mut self) {
        let send = self.lead.send.outcome.id;
        self.lead.shown(Showing { send, title: Title::Complete }, None, self.now);
    }

    fn next(&self) -> Step {
        self.lead.next_step(
            self.now,
            &Surroundings {
                alc: AlcAccess::Connected,
                attio: true,
                alc_opens_at: None,
                attio_opens_at: None,
                workflows_open_at: None,
                triggers_since: None,
                deadlines: &self.deadlines,
            },
        )
    }

    fn arrived(&self, send: SendId) -> usize {
        self.posts.iter().filter(|(at, of)| *at <= self.now && *of == send).count()
    }

    /// Time passes up to the next step that is about a note; `None`: there is none.
    fn next_of_note(&mut self) -> Option<Step> {
        loop {
            match self.next() {
                step @ (Step::WriteNote(_) | Step::LookForNote(_)) => return Some(step),
                Step::Place(send) => self.lead.placed(send, self.lead.shown_at()),
                Step::Rest(at) if at > later(self.now, DAY * 10) => return None,
                Step::Rest(at) => self.now = at,
                Step::Show(showing) => self.lead.shown(showing, None, self.now),
                step => panic!("{step:?}"),
            }
        }
    }

    /// One attempt, or one look.
    fn take(&mut self, fate: Fate, worker: Worker) {
        let Some(step) = self.next_of_note() else { return };
        let before = self.lead.clone();
        let soon = Again::failed(later(self.now, Duration::from_secs(5)));
        match step {
            Step::WriteNote(send) => {
                assert!(self.lead.begin_note(send, self.now), "a step that is to be taken");
                self.attempts += 1;
                let attempt = self.lead.notes.of(send).expect("owed").attempts;
                let at = self.now;
                let fact: Box<dyn Fn(&mut Lead)> = match fate {
                    Fate::Done => {
                        self.posts.push((self.now, send));
                        Box::new(move |lead| lead.note_written(send))
                    }
                    Fate::DoneUnseen(after) => {
                        self.posts.push((later(self.now, Duration::from_secs(after)), send));
                        Box::new(move |lead| {
                            lead.note_not_written((send, attempt), NoteFailure::Unseen, soon, "lost", at);
                        })
                    }
                    Fate::LostUnseen => Box::new(move |lead| {
                        lead.note_not_written((send, attempt), NoteFailure::Unseen, soon, "lost", at);
                    }),
                    Fate::NotTaken => Box::new(move |lead| {
                        lead.note_not_written((send, attempt), NoteFailure::Later, soon, "429", at);
                    }),
                    Fate::Refused => Box::new(move |lead| {
                        lead.note_not_written((send, attempt), NoteFailure::Refused, soon, "403", at);
                    }),
                };
                match worker {
                    Worker::Records => fact(&mut self.lead),
                    Worker::Crashes => self.now = later(self.now, Duration::from_secs(30)),
                    Worker::RecordsLate(after) => {
                        // Another worker takes steps of its own first.
                        let recorded_at = later(self.now, Duration::from_secs(after));
                        while self.now < recorded_at {
                            match self.next() {
                                Step::LookForNote(_) => self.look(),
                                Step::Rest(at) => self.now = at.min(recorded_at),
                                _ => break,
                            }
                        }
                        fact(&mut self.lead);
                    }
                }
            }
            Step::LookForNote(send) if matches!(fate, Fate::NotTaken | Fate::Refused) => {
                self.lead.note_not_looked_for(send, soon, "no answer");
            }
            Step::LookForNote(_) => self.look(),
            step => panic!("{step:?}"),
        }
        self.lead.keep_history(Some(&before), self.now);
    }

    fn look(&mut self) {
        let Step::LookForNote(send) = self.next() else { panic!("{:?}", self.next()) };
        let note = self.lead.notes.of(send).expect("owed");
        let (attempt, looks) = (note.attempts, note.tried.as_ref().expect("tried").looks);
        let (is_there, record) = (self.arrived(send) > 0, self.lead.shown_at());
        self.lead.note_looked_for((send, attempt), (record, looks), is_there);
        if usize::from(looks) == 0 {
            // Two workers that looked at the same time count as one look.
            self.lead.note_looked_for((send, attempt), (record, looks), is_there);
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        2 => Just(Fate::Done),
        3 => (0..LATEST).prop_map(Fate::DoneUnseen),
        2 => Just(Fate::LostUnseen),
        1 => Just(Fate::NotTaken),
        1 => Just(Fate::Refused),
    ]
}

fn worker() -> impl Strategy<Value = Worker> {
    prop_oneof![
        3 => Just(Worker::Records),
        2 => Just(Worker::Crashes),
        1 => (0u64..LATEST).prop_map(Worker::RecordsLate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    /// However often an answer is lost, a worker vanishes or ALC tells the result once more, each send that has a
    /// result has one note in the end, and nothing is kept of what was said.
    #[test]
    fn never_two_notes_and_never_none(
        stories in prop::collection::vec(prop::collection::vec((fate(), worker()), 0..8), 1..3),
    ) {
        let mut world = World::new();
        let mut sends = vec![world.lead.send.outcome.id];
        for (index, story) in stories.into_iter().enumerate() {
            if index > 0 {
                // The last one's note may be owed still.
                world.lead.send_again(PresentSend::new(SendId::random(), world.now));
                sends.push(world.lead.send.outcome.id);
                world.finish("not interested");
            }
            world.show();
            for (fate, worker) in story {
                world.take(fate, worker);
                world.finish("another word");
            }
        }
        for _ in 0..20 {
            world.take(Fate::Done, Worker::Records);
        }
        world.now = later(world.now, DAY);
        for send in sends {
            prop_assert_eq!(world.arrived(send), 1);
        }
        prop_assert!(world.lead.notes.iter().all(|note| note.words.is_none() && !note.is_owed()));
        prop_assert!(world.lead.history.told().iter().any(|entry| entry.what == "note-written"));
    }
}

#[test]
fn nothing_delays_the_record_itself() {
    let mut world = World::new();
    assert!(matches!(world.next(), Step::Show(_)));
    world.lead.attio.retry_at = Some(later(world.now, Duration::from_secs(60)));
    assert_eq!(world.next(), Step::Rest(later(world.now, Duration::from_secs(60))), "it goes first");
    assert_eq!(world.lead.view().note.expect("owed").state, OwedView::Scheduled);
    world.show();
    let send = world.lead.send.outcome.id;
    assert_eq!(world.next(), Step::Place(send));
    world.lead.placed(send, world.lead.shown_at());
    assert_eq!(world.next(), Step::WriteNote(send));
    world.lead.begin_note(send, world.now);
    world.lead.note_written(send);
    assert!(matches!(world.next(), Step::Rest(_)));
    let view = world.lead.view();
    assert_eq!(view.note.expect("written").state, OwedView::Written);
    let pipeline = view.pipeline.expect("placed");
    assert_eq!((pipeline.state, pipeline.stage.as_str()), (OwedView::Written, "Won"));
}

#[test]
fn an_attempt_without_an_answer_is_looked_for_twice_before_the_next() {
    let mut world = World::new();
    world.show();
    let send = world.lead.send.outcome.id;
    world.lead.placed(send, world.lead.shown_at());
    let begun = world.now;
    assert!(world.lead.begin_note(send, begun));
    assert!(!world.lead.begin_note(send, begun), "it is under way");
    assert_eq!(world.next(), Step::Rest(later(begun, Duration::from_secs(10))));
    world.now = later(begun, Duration::from_secs(10));
    world.look();
    assert_eq!(world.next(), Step::Rest(later(begun, Duration::from_secs(15 * 60))));
    world.now = later(begun, Duration::from_secs(15 * 60));
    world.look();
    assert_eq!(world.next(), Step::WriteNote(send));
}

#[test]
fn what_is_refused_is_given_up_in_the_end_and_forgets_what_was_said() {
    let mut world = World::new();
    world.show();
    let send = world.lead.send.outcome.id;
    world.lead.placed(send, world.lead.shown_at());
    world.lead.begin_note(send, world.now);
    let never = Again::failed(later(world.now, DAY * 365));
    world.lead.note_not_written((send, 1), NoteFailure::Refused, never, "Attio: forbidden", world.now);
    let view = world.lead.view().note.expect("owed");
    assert_eq!((view.state, view.last_error.as_deref()), (OwedView::Failed, Some("Attio: forbidden")));
    assert_eq!(world.lead.try_now(world.now), ["attio"], "an operator may have it tried");
    assert_eq!(world.next(), Step::WriteNote(send));
    world.lead.give_note_up(send);
    assert_eq!(world.lead.view().note.expect("there").state, OwedView::GivenUp);
    assert!(world.lead.notes.iter().all(|note| note.words.is_none()));
}

/// Attio tells that the world's record was merged into another one.
fn merge(world: &mut World) {
    let (record, into) = (world.lead.record_id, RecordId::random());
    let mut known = Known::from([(record, Some(world.lead.clone()))]);
    while let Err(Unknown(other)) = merge::merged(&mut known, into, record, world.now) {
        known.insert(other, None);
    }
    world.lead = known.remove(&record).flatten().expect("still there");
}

fn has_words(lead: &Lead) -> bool {
    lead.notes.iter().any(|note| note.words.is_some())
}

#[test]
fn a_record_that_is_gone_gets_nothing_and_leaves_no_words() {
    let mut world = World::new();
    world.show();
    let (send, record) = (world.lead.send.outcome.id, world.lead.record_id);
    let soon = Again::failed(world.now);
    world.lead.begin_note(send, world.now);
    world.lead.note_not_written((send, 1), NoteFailure::Gone(record), soon, "Attio: not found", world.now);
    world.lead.not_placed(send, PlacementFailure::Gone(record), soon, "Attio: not found");
    assert_eq!(world.next(), Step::Rest(later(world.now, A_MERGE_IS_TOLD)));
    let mut merged = World { lead: world.lead.clone(), ..World::new() };
    world.now = later(world.now, A_MERGE_IS_TOLD);
    assert_eq!(world.next(), Step::ForgetWords);
    world.lead.forget_words(world.now);
    assert!(!has_words(&world.lead));
    assert!(matches!(world.next(), Step::Rest(at) if at > later(world.now, DAY)), "{:?}", world.next());
    // The record was merged into another one, which is told later; or in time for what ALC said.
    merge(&mut world);
    assert_eq!(world.next(), Step::Place(send));
    merge(&mut merged);
    assert_eq!(merged.next(), Step::Place(send));
    merged.now = later(merged.now, A_MERGE_IS_TOLD);
    assert_eq!(merged.next(), Step::Place(send), "nothing is to be forgotten");
    merged.lead.placed(send, merged.lead.shown_at());
    assert_eq!(merged.next(), Step::LookForNote(send), "an attempt's note may have been taken along");
    assert!(has_words(&merged.lead));
}

#[test]
fn a_look_at_a_record_that_a_merge_has_ended_says_nothing_of_the_merged_one() {
    let mut world = World::new();
    world.show();
    let (send, record) = (world.lead.send.outcome.id, world.lead.record_id);
    world.lead.placed(send, record);
    world.lead.begin_note(send, world.now);
    let mut seen_before = World { lead: world.lead.clone(), now: world.now, ..World::new() };
    // Both looks find nothing, since the record is gone already; then the merge is told.
    for looks in 0..2 {
        world.lead.note_looked_for((send, 1), (record, looks), false);
    }
    assert_eq!(world.next(), Step::WriteNote(send));
    merge(&mut world);
    // The merge is told while the last look is under way.
    seen_before.lead.note_looked_for((send, 1), (record, 0), false);
    merge(&mut seen_before);
    seen_before.lead.note_looked_for((send, 1), (record, 1), false);
    for mut world in [world, seen_before] {
        world.lead.placed(send, world.lead.shown_at());
        assert_eq!(world.next_of_note(), Some(Step::LookForNote(send)), "what may be on the new one is looked for");
    }
}

#[test]
fn what_a_deletion_has_ended_gets_no_note_though_its_record_is_sent_again() {
    let mut world = World::new();
    let record = world.lead.record_id;
    (world.lead.notes, world.lead.pipeline) = (Notes::default(), None);
    world.lead.send = PresentSend::new(SendId::random(), world.now);
    let first = world.lead.send.outcome.id;
    world.lead.begin(world.now);
    world.lead.submitted(first, Some("17".to_owned()), None, world.now);
    let mut known = Known::from([(record, Some(world.lead.clone()))]);
    merge::deleted(&mut known, record, None, world.now).expect("known");
    world.lead = known.remove(&record).flatten().expect("still there");
    let before = world.lead.clone();
    world.lead.finish("qualified", Some("17"), None, world.now);
    let words = Sealed::from_text("what was said");
    world.lead.owe_note(Some(&before), Some(&words), world.deadlines.retention, world.now);
    assert!(world.lead.notes.of(first).is_some(), "a merge may bring it back");
    let mut merged = World { lead: world.lead.clone(), ..World::new() };
    merge(&mut merged);
    assert!(matches!(merged.lead.next_note(merged.now), Some((_, NoteDue::Write(send))) if send == first));
    // A person has restored the record, and pressed.
    world.lead.send_again(PresentSend::new(SendId::random(), world.now));
    let given_up = world.lead.next_note(world.now).map(|(at, _)| at);
    assert_eq!(given_up, Some(later(world.now, world.deadlines.retention)), "it is only given up in the end");
    assert!(!world.lead.owes_more(), "nothing waits for it");
    merge(&mut world);
    assert_eq!(
        world.lead.words_until(),
        Some(later(world.now, A_MERGE_IS_TOLD)),
        "and nothing is kept of what was said"
    );
}

#[test]
fn what_is_complete_without_a_word_is_owed_no_note() {
    let now = from_micros(1);
    let before = Lead::new(RecordId::random(), PresentSend::new(SendId::random(), now));
    for (result, owed) in [(None, false), (Some("qualified".to_owned()), true)] {
        let mut lead = before.clone();
        (lead.send.outcome.status, lead.send.outcome.result) = (Status::Complete, result);
        lead.owe_note(Some(&before), None, DAY, now);
        assert_eq!(lead.notes.of(lead.send.outcome.id).is_some(), owed);
    }
}

#[test]
fn a_deletion_erases_what_was_said_unless_a_merge_is_told_soon() {
    let mut world = World::new();
    let record = world.lead.record_id;
    let mut known = Known::from([(record, Some(world.lead.clone()))]);
    merge::deleted(&mut known, record, None, world.now).expect("known");
    world.lead = known.remove(&record).flatten().expect("still there");
    let mut merged = World { lead: world.lead.clone(), ..World::new() };
    assert_eq!(world.next(), Step::Rest(later(world.now, A_MERGE_IS_TOLD)));
    world.now = later(world.now, A_MERGE_IS_TOLD);
    assert_eq!(world.next(), Step::ForgetWords);
    world.lead.forget_words(world.now);
    assert!(!has_words(&world.lead));
    assert_eq!(world.lead.next_note(world.now).map(|_| ()), Some(()), "should a merge bring it back");
    assert!(matches!(world.next(), Step::Rest(_)));
    merge(&mut merged);
    merged.now = later(merged.now, A_MERGE_IS_TOLD);
    merged.lead.forget_words(merged.now);
    assert!(has_words(&merged.lead));
}

#[test]
fn a_result_that_names_no_stage_leaves_the_list_alone_and_a_newer_one_decides() {
    let mut world = World::new();
    let first = world.lead.send.outcome.id;
    world.show();
    world.lead.send_again(PresentSend::new(SendId::random(), world.now));
    world.finish("no idea");
    assert_eq!(world.lead.pipeline.as_ref().map(|it| it.send), Some(first), "it is owed as before");
    assert!(world.lead.view().pipeline.is_none());
    world.show();
    world.lead.send_again(PresentSend::new(SendId::random(), world.now));
    world.finish("qualified");
    assert_eq!(world.lead.pipeline.as_ref().map(|it| it.send), Some(world.lead.send.outcome.id));
    world.lead.placed(first, world.lead.record_id);
    assert!(
        world.lead.pipeline.as_ref().is_some_and(Placement::is_owed),
        "what another one came to says nothing of it"
    );
}

#[test]
fn an_older_stage_that_a_worker_wrote_late_is_written_over() {
    let mut world = World::new();
    let first = world.lead.send.outcome.id;
    world.show();
    world.lead.placed(first, world.lead.record_id);
    world.lead.send_again(PresentSend::new(SendId::random(), world.now));
    world.finish("qualified");
    let second = world.lead.send.outcome.id;
    let is_owed = |world: &World| world.lead.pipeline.as_ref().is_some_and(Placement::is_owed);
    // A worker that stood still writes the first one's, and hears that it is done, or hears nothing.
    let reports: [fn(&mut Lead, SendId); 2] = [
        |lead, send| lead.placed(send, lead.record_id),
        |lead, send| {
            let again = Again::failed(lead.send.outcome.updated_at);
            lead.not_placed(send, PlacementFailure::Later, again, "late");
        },
    ];
    for report in reports {
        world.lead.placed(second, world.lead.record_id);
        assert!(!is_owed(&world));
        report(&mut world.lead, first);
        assert!(is_owed(&world), "the newest result decides");
    }
    world.lead.placed(second, world.lead.record_id);
    world.lead.not_placed(first, PlacementFailure::Refused, Again::failed(world.now), "no");
    assert!(!is_owed(&world), "what Attio refused has changed nothing");
}
