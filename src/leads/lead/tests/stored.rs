//! What is stored survives a rewrite by a version that does not know all of it.

use serde_json::{Map, Value, json};

use super::super::{
    aggregate::Lead,
    alc::Again,
    calls::{Hook, Recipient},
    given_up::GivenUpFor,
    known::KnownPerson,
    outcome::{Reason, Status},
    send::{PresentSend, SealedPerson},
    shown::{Showing, Title},
};
use crate::{
    clock::{from_micros, later},
    ids::{EntryId, RecordId, SendId, WebhookId},
    leads::places::place,
    sealing::{Sealer, generate_key},
    store::{CodecError, decode, encode, with_unknown_members},
};

/// A lead with something in every place where a lead can have something.
fn full() -> Lead {
    let sealer = Sealer::new(&generate_key(), None).expect("a good key");
    let sealed = sealer.seal(place("a", "b"), &secrecy::SecretString::from("Ada"));
    let hook = || Hook { url: sealed.clone(), print: sealer.fingerprint("a", b"b"), extra: Map::new() };
    let now = from_micros(1_000_000);
    let mut lead = Lead::new(RecordId::random(), PresentSend::new(SendId::random(), now));
    lead.calls.let_wait(hook(), now).expect("room");
    lead.begin(now);
    lead.submitted(lead.send.outcome.id, Some("1".to_owned()), Some(now), now);
    let first = Showing { send: lead.send.outcome.id, title: Title::Pending };
    lead.shown(first, Some("1".to_owned()), now);
    lead.attio.doubt(first, now);
    let before = lead.clone();
    lead.finish("qualified", Some("1"), Some("call"), now);
    lead.owe_note(Some(&before), Some(&sealed), std::time::Duration::from_secs(60), now);
    assert!(lead.begin_note(lead.send.outcome.id, now));
    lead.owe_placement(Some(&before), |_| Some("Won"), std::time::Duration::from_secs(60), now);
    lead.note_end([("trigger", now)], std::time::Duration::from_secs(60));
    assert!(matches!(lead.calls.owed[0].to.recipient, Recipient::Step(_)));
    assert!(matches!(lead.calls.owed[1].to.recipient, Recipient::Trigger(_)));
    let mut next = PresentSend::new(SendId::random(), now);
    next.put_under(Some(WebhookId::random()));
    next.person = Some(SealedPerson { name: sealed.clone(), phone_number: sealed.clone(), extra: Map::new() });
    lead.send_again(next);
    lead.calls.let_wait(hook(), now).expect("room");
    lead.begin(now);
    lead.unknown(
        lead.attempt(),
        Again::failed(later(now, std::time::Duration::from_secs(1))),
        Some("no answer".to_owned()),
        now,
    );
    lead.send.other_webhooks.push(WebhookId::random());
    let given_up = lead.calls.owed[1].clone();
    lead.calls.given_up.keep(given_up, GivenUpFor::Deadline, now);
    lead.entries.push(EntryId::random());
    lead.known = lead.send.person.clone().map(|person| KnownPerson::new(person, now));
    lead.attio_record = Some(RecordId::random());
    lead.merged_into = Some(RecordId::random());
    lead.joined = Some(RecordId::random());
    lead
}

#[test]
fn what_a_newer_version_keeps_survives_at_every_level() {
    let mut body: Value = serde_json::from_str(&encode(&full())).expect("JSON");
    let objects = with_unknown_members(&mut body);
    // The lead, both sends, the person, Attio's side, what is shown, the doubt, the calls, what waits, its hook, two
    // owed calls, their recipients, the hook of one, a call that was given up with its recipient, the note with its
    // attempt, the place in a list, and who is known.
    assert_eq!(objects, 23, "{body:#}");
    let read: Lead = decode(&body.to_string()).expect("a lead");
    let again: Value = serde_json::from_str(&encode(&read)).expect("JSON");
    assert_eq!(again, body);
}

#[test]
fn a_lead_stays_small_however_much_it_owes() {
    let sealer = Sealer::new(&generate_key(), None).expect("a good key");
    // As long as a URL may be.
    let url = sealer.seal(place("a", "b"), &secrecy::SecretString::from("u".repeat(2_000)));
    let hook = || Hook { url: url.clone(), print: sealer.fingerprint("a", b"b"), extra: Map::new() };
    let (now, month) = (from_micros(1_000_000), std::time::Duration::from_secs(30 * 86_400));
    let triggers: Vec<_> = (0..100).map(|n| (format!("{n:0>255}"), now)).collect();
    let mut lead = Lead::new(RecordId::random(), PresentSend::new(SendId::random(), now));
    for _ in 0..30 {
        for _ in 0..100 {
            lead.calls.let_wait(hook(), now).expect("room");
        }
        lead.begin(now);
        lead.finish(&"long ".repeat(10_000), None, None, now);
        lead.follow_with(PresentSend::new(SendId::random(), now), &triggers, month);
    }
    assert_eq!(lead.calls.owed.len(), 200, "those of the last send");
    let size = encode(&lead).len();
    assert!(size < 800_000, "{size} bytes");
}

#[test]
fn a_value_that_only_a_newer_version_knows_is_not_guessed_at() {
    let mut body: Value = serde_json::from_str(&encode(&full())).expect("JSON");
    body["earlier"][0]["reason"] = Value::Null;
    for (pointer, value) in [
        ("/send/status", json!("paused")),
        ("/earlier/0/reason", json!("bored")),
        ("/attio/doubts/0/title", json!("nearly")),
        ("/attio/shown/title", json!("nearly")),
        ("/calls/owed/1/to", json!({ "letter": "box" })),
        ("/calls/noted/1", json!("paused")),
        ("/calls/given_up/0/why", json!("tired")),
    ] {
        let mut body = body.clone();
        *body.pointer_mut(pointer).expect(pointer) = value;
        let read = decode::<Lead>(&body.to_string());
        assert!(matches!(read, Err(CodecError::TooNew { .. })), "{pointer}: {read:?}");
    }
}

#[test]
fn names_and_values_are_those_of_every_version() {
    let mut lead = full();
    lead.expire(Reason::TimedOut, from_micros(2_000_000));
    let body: Value = serde_json::from_str(&encode(&lead)).expect("JSON");
    for (pointer, value) in [
        ("/schema", json!(1)),
        ("/send/status", json!("failed")),
        ("/send/reason", json!("timed-out")),
        ("/send/ever_in_doubt", json!(true)),
        ("/earlier/0/result", json!("qualified")),
        ("/attio/shown/title", json!("pending")),
        ("/calls/owed/1/to/trigger", json!("trigger")),
        ("/calls/noted/1", json!(Status::Complete.name())),
    ] {
        assert_eq!(body.pointer(pointer), Some(&value), "{pointer} in {body:#}");
    }
    assert!(body.pointer("/calls/owed/0/to/step/url").is_some_and(Value::is_string));
}

#[test]
fn what_is_not_there_takes_no_room() {
    let now = from_micros(1_000_000);
    let mut lead = Lead::new(RecordId::random(), PresentSend::new(SendId::random(), now));
    lead.begin(now);
    lead.submitted(lead.send.outcome.id, Some("1".to_owned()), None, now);
    let body = encode(&lead);
    for nothing in ["null", "false", "[]", "{}", ":0,", ":0}"] {
        assert!(!body.contains(nothing), "{nothing} in {body}");
    }
    assert_eq!(decode::<Lead>(&body), Ok(lead));
}
