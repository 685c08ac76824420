//! Sends that a list entry has asked for: each entry once, nothing sent unread, nothing kept for long.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    super::{
        aggregate::Lead,
        alc::Again,
        mend::NotAgain,
        merge::{Known, deleted, merged},
        next_step::{AlcAccess, Deadlines, Step, Surroundings},
        outcome::{Reason, Status},
        send::{PresentSend, SealedPerson},
    },
    world::HOUR,
};
use crate::{
    clock::{Timestamp, from_micros, later},
    ids::{EntryId, RecordId, SendId},
    sealing::Sealed,
    store::{decode, encode},
};

const MINUTE: Duration = Duration::from_secs(60);
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn entered() -> Lead {
    Lead::new(RecordId::random(), PresentSend::by_entry(SendId::random(), NOW))
}

fn person(name: &str) -> SealedPerson {
    SealedPerson { name: Sealed::from_text(name), phone_number: Sealed::from_text("number"), extra: Map::new() }
}

fn next(lead: &Lead, alc: AlcAccess, now: Timestamp) -> Step {
    let deadlines = Deadlines { send: HOUR * 24, result: HOUR * 240, retention: HOUR * 2400, poll_after: None };
    let around = Surroundings {
        alc,
        attio: true,
        alc_opens_at: None,
        attio_opens_at: None,
        workflows_open_at: None,
        triggers_since: None,
        deadlines: &deadlines,
    };
    lead.next_step(now, &around)
}

#[test]
fn an_entry_asks_once_and_a_call_may_tell_of_more_than_it() {
    let mut lead = entered();
    let (first, second) = (EntryId::random(), EntryId::random());
    assert!(lead.remember_entry(first));
    assert!(lead.remember_entry(second));
    assert!(!lead.remember_entry(first) && !lead.remember_entry(second));
    assert!(lead.callbacks.is_empty(), "else a deletion that the same call tells of would be taken for its repeat");
    for _ in 0..30 {
        assert!(lead.remember_entry(EntryId::random()));
    }
    assert_eq!(lead.entries.len(), 20, "bounded");
}

#[test]
fn nothing_is_sent_before_the_person_is_read_and_nothing_read_without_a_grant() {
    let mut lead = entered();
    let send = lead.send.outcome.id;
    assert_eq!(next(&lead, AlcAccess::Connected, NOW), Step::ReadPerson);
    for access in [AlcAccess::Reauthorization, AlcAccess::Disconnected { since: NOW }] {
        assert!(matches!(next(&lead, access, NOW), Step::Rest(_)), "{access:?}");
    }
    let again = later(NOW, MINUTE);
    lead.person_not_read(send, Again::failed(again), Some("Attio: 503".to_owned()), NOW);
    assert_eq!(next(&lead, AlcAccess::Connected, NOW), Step::Rest(again));
    assert_eq!(next(&lead, AlcAccess::Connected, again), Step::ReadPerson);
    assert_eq!(next(&lead, AlcAccess::Connected, later(NOW, HOUR * 24)), Step::Expire(Reason::NotSent));
    lead.person_read((send, 0), person("Ada"), again);
    assert_eq!(next(&lead, AlcAccess::Connected, again), Step::Submit);
    assert_eq!(lead.send.outcome.last_error, None);
    // What comes late changes nothing.
    lead.person_lacks((send, 0), Reason::NoPhoneNumber, again);
    lead.person_gone(send, again);
    assert_eq!(lead.send.outcome.status, Status::Queued);
}

#[test]
fn a_press_that_joins_names_the_person_whom_attio_is_not_asked_for_then() {
    let mut lead = entered();
    let send = lead.send.outcome.id;
    lead.person_not_read(send, Again::failed(later(NOW, HOUR)), Some("Attio: 503".to_owned()), NOW);
    assert!(lead.person_told(|| person("Ada"), NOW));
    assert_eq!(next(&lead, AlcAccess::Connected, NOW), Step::Submit);
    assert_eq!(lead.send.outcome.last_error, None);
    // It is not known of Attio's record, and what comes later changes nothing.
    assert_eq!(lead.known, None);
    assert!(!lead.person_told(|| person("Eve"), NOW));
    lead.person_read((send, 0), person("Eve"), NOW);
    assert_eq!(lead.send.person, Some(person("Ada")));
}

#[test]
fn a_replay_reads_nobody_anew_whom_alc_has_already() {
    let mut lead = entered();
    let send = lead.send.outcome.id;
    lead.person_read((send, 0), person("Ada"), NOW);
    lead.begin(NOW);
    lead.rejected(lead.attempt(), "ALC: 409".to_owned(), NOW);
    assert_eq!(lead.may_be_sent_again(send), Ok(Some(&person("Ada"))), "ALC has refused it, and has nobody");
    lead.send.forget_person();
    assert_eq!(lead.may_be_sent_again(send), Err(NotAgain::Forgotten));
}

#[test]
fn what_the_record_lacks_ends_the_send_and_a_replay_reads_it_anew() {
    for reason in [Reason::NoPhoneNumber, Reason::NoName] {
        let mut lead = entered();
        let send = lead.send.outcome.id;
        lead.person_lacks((send, 0), reason, NOW);
        assert_eq!((lead.send.outcome.status, lead.send.outcome.reason), (Status::Failed, Some(reason)));
        assert!(matches!(next(&lead, AlcAccess::Connected, NOW), Step::Show(_)), "Attio shows it");
        assert_eq!(lead.may_be_sent_again(send), Ok(None));
        lead.send.beside_another = true;
        assert!(lead.may_be_sent_again(send).is_err());
    }
}

#[test]
fn what_was_read_is_known_for_five_minutes_unless_the_record_changes() {
    let read = || {
        let mut lead = entered();
        let send = lead.send.outcome.id;
        lead.person_read((send, 0), person("Ada"), NOW);
        lead.begin(NOW);
        lead.submitted(send, Some("1".to_owned()), None, NOW);
        lead.finish("qualified", Some("1"), None, NOW);
        lead
    };
    let enter_again = |mut lead: Lead, now| {
        lead.send_again(PresentSend::by_entry(SendId::random(), now));
        lead.read_from_memory(now);
        lead.send.person.is_some()
    };
    let (soon, late) = (later(NOW, MINUTE * 4), later(NOW, MINUTE * 5));
    assert!(enter_again(read(), soon));
    assert!(!enter_again(read(), late));
    let mut lead = read();
    assert_eq!(next(&lead, AlcAccess::Reauthorization, late), Step::ForgetPerson);
    assert!(lead.forget_known() && !lead.forget_known());
    assert!(!enter_again(lead, soon));
    let told: [fn(&mut Known, RecordId); 2] = [
        |known, record| {
            let into = RecordId::random();
            known.insert(into, None);
            merged(known, into, record, NOW).expect("all is known");
        },
        |known, record| deleted(known, record, None, NOW).expect("all is known"),
    ];
    for tell in told {
        let lead = read();
        let record = lead.record_id;
        let mut known = Known::from([(record, Some(lead))]);
        tell(&mut known, record);
        assert!(known[&record].as_ref().expect("kept").known.is_none());
    }
}

#[test]
fn what_changes_while_attio_is_asked_is_read_anew_and_not_for_ever() {
    let mut lead = entered();
    let send = lead.send.outcome.id;
    let asked = lead.changes();
    assert!(lead.forget_known(), "a change that is told is written down while the person is awaited");
    lead.person_read((send, asked), person("Old"), NOW);
    lead.person_lacks((send, asked), Reason::NoPhoneNumber, NOW);
    assert_eq!(next(&lead, AlcAccess::Connected, NOW), Step::ReadPerson);
    let mut unchanged = lead.clone();
    unchanged.person_read((send, unchanged.changes()), person("New"), NOW);
    assert_eq!(unchanged.send.person, Some(person("New")));
    assert!(unchanged.known.is_some());
    // However often it has changed before Attio was asked.
    for _ in 0..10 {
        lead.forget_known();
    }
    let asked = lead.changes();
    lead.forget_known();
    lead.person_read((send, asked), person("Old"), NOW);
    assert_eq!(lead.send.person, None);
    for _ in 0..10 {
        let asked = lead.changes();
        lead.forget_known();
        lead.person_read((send, asked), person("Ada"), NOW);
    }
    assert_eq!(lead.send.person, Some(person("Ada")), "another integration keeps writing");
    assert_eq!(lead.known, None, "and what was read may be old");
}

#[test]
fn a_version_that_reads_no_person_leaves_the_lead_alone_until_it_is_read() {
    let schema = |lead: &Lead| serde_json::from_str::<Value>(&encode(lead)).expect("JSON")["schema"].clone();
    let mut lead = entered();
    assert!(lead.remember_entry(EntryId::random()));
    assert_eq!(schema(&lead), 2);
    assert_eq!(decode::<Lead>(&encode(&lead)).as_ref(), Ok(&lead));
    let send = lead.send.outcome.id;
    lead.person_read((send, 0), person("Ada"), from_micros(1));
    assert_eq!(schema(&lead), 1);
    assert_eq!(decode::<Lead>(&encode(&lead)).as_ref(), Ok(&lead));
}
