//! Single promises of a send's life.

use serde_json::Map;

use super::{
    super::{
        aggregate::Lead,
        alc::Again,
        attio::ShowFailure,
        merge::{Known, deleted, merged},
        next_step::Step,
        outcome::{Reason, Status},
        reach::Reach,
        result::Finished,
        send::{PresentSend, SealedPerson},
        shown::Title,
    },
    world::{HOUR, Telling, World},
};
use crate::{
    clock::{Timestamp, from_micros},
    ids::{RecordId, SendId, WebhookId},
    leads::places::place,
};

#[test]
fn a_sends_deadlines_end_it() {
    let mut world = World::new(Telling::LeadId);
    world.deadlines.send = HOUR * 24;
    world.deadlines.result = HOUR * 24 * 30;
    world.wait(HOUR * 24);
    assert_eq!(world.next(), Step::Expire(Reason::NotSent));
    world.lead.begin(world.now);
    world.lead.submitted(world.sends[0], Some("1".to_owned()), None, world.now);
    world.wait(HOUR * 24 * 29);
    assert_eq!(world.next(), Step::Expire(Reason::TimedOut));
    world.lead.expire(Reason::TimedOut, world.now);
    assert_eq!(world.lead.wanted().map(|wanted| wanted.title), Some(Title::Failed));
    assert_eq!(world.lead.finish("qualified", Some("1"), None, world.now), Finished::Now, "its own later result");
}

#[test]
fn name_and_number_are_erased_once_alc_has_them() {
    let sealer = crate::sealing::Sealer::new(&crate::sealing::generate_key(), None).expect("a good key");
    let sealed = sealer.seal(place("a", "b"), &secrecy::SecretString::from("Ada"));
    let mut lead = World::new(Telling::LeadId).lead;
    lead.send.person = Some(SealedPerson { name: sealed.clone(), phone_number: sealed, extra: Map::new() });
    lead.begin(from_micros(0));
    assert!(lead.send.person.is_some());
    lead.submitted(lead.send.outcome.id, None, None, from_micros(0));
    assert!(lead.send.person.is_none());
}

#[test]
fn an_attempt_that_may_have_arrived_keeps_its_webhook_answering() {
    let mut send = PresentSend::new(SendId::random(), from_micros(0));
    let [first, second, third] = [(); 3].map(|()| Some(WebhookId::random()));
    send.put_under(first);
    send.put_under(second);
    assert_eq!((send.webhook, send.other_webhooks.len()), (second, 0), "nothing arrived under the first");
    send.reach = Reach::InDoubt;
    send.put_under(second);
    send.put_under(third);
    assert_eq!((send.webhook, send.other_webhooks.clone()), (third, second.into_iter().collect()));
    send.put_under(second);
    assert_eq!((send.webhook, send.other_webhooks), (second, third.into_iter().collect()));
}

#[test]
fn a_second_acceptance_that_cannot_be_read_ends_the_asking() {
    let mut world = World::new(Telling::LeadId);
    let (now, send) = (world.now, world.sends[0]);
    let lead = &mut world.lead;
    lead.begin(now);
    assert!(
        !lead.accepted_unreadably(lead.attempt(), Again::failed(now), None, None, now),
        "worth a look-up or a repeat"
    );
    assert_eq!((lead.send.outcome.status, lead.send.reach), (Status::Queued, Reach::InDoubt));
    lead.not_found_at_alc();
    lead.begin(now);
    assert!(lead.accepted_unreadably(lead.attempt(), Again::failed(now), None, None, now));
    assert_eq!((lead.send.outcome.status, lead.send.outcome.lead_id.clone()), (Status::Pending, None));
    assert_eq!(lead.send.outcome.attempts, 2);
    assert_eq!(lead.finish("qualified", Some("1"), None, now), Finished::Now);
    assert_eq!(lead.send.outcome.id, send);
}

#[test]
fn what_alc_accepted_unreadably_was_not_never_sent() {
    let mut world = World::new(Telling::LeadId);
    let now = world.now;
    world.lead.begin(now);
    world.lead.accepted_unreadably(world.lead.attempt(), Again::failed(now), None, None, now);
    world.lead.expire(Reason::NotSent, now);
    assert_eq!(world.lead.send.outcome.status, Status::Pending, "ALC has it, and may call back");
    world.lead.expire(Reason::TimedOut, now);
    assert_eq!(world.lead.send.outcome.reason, Some(Reason::TimedOut));
    // One that ALC never accepted is.
    let mut world = World::new(Telling::LeadId);
    world.lead.begin(now);
    world.lead.unknown(world.lead.attempt(), Again::failed(now), None, now);
    world.lead.expire(Reason::NotSent, now);
    assert_eq!(world.lead.send.outcome.reason, Some(Reason::NotSent));
}

#[test]
fn an_acceptance_of_an_earlier_send_says_nothing_of_the_present_one() {
    let mut world = World::new(Telling::LeadId);
    let now = world.now;
    world.lead.begin(now);
    let earlier = world.lead.attempt();
    world.lead.unknown(earlier, Again::failed(now), None, now);
    world.lead.expire(Reason::NotSent, now);
    world.lead.send_again(PresentSend::new(SendId::random(), now));
    assert!(!world.lead.accepted_unreadably(earlier, Again::failed(now), None, None, now));
    assert!(!world.lead.send.accepted_unreadably);
    assert_eq!(world.lead.send.outcome.status, Status::Queued);
}

#[test]
fn a_result_of_a_send_whose_id_was_never_learnt_is_shown_once_the_next_send_is_refused() {
    let mut world = World::new(Telling::LeadId);
    let now = world.now;
    world.lead.begin(now);
    world.lead.unknown(world.lead.attempt(), Again::failed(now), None, now);
    world.lead.expire(Reason::NotSent, now);
    let second = PresentSend::new(SendId::random(), now);
    world.lead.send_again(PresentSend { waited_until: Some(now + HOUR), ..second });
    // The second has certainly not arrived: the result is the first's.
    assert_eq!(world.lead.finish("qualified", Some("1"), None, now), Finished::Already);
    assert_eq!(world.lead.send.outcome.status, Status::Queued);
    world.lead.begin(now);
    let refused = world.lead.attempt();
    world.lead.rejected(refused, String::new(), now);
    assert!(world.lead.take_refusal(refused.send, now));
    let wanted = world.lead.wanted().expect("something to show");
    assert_eq!(wanted.title, Title::Complete);
    assert_eq!(world.lead.said(wanted), (Some("1"), Some("qualified")));
    // A caller that has hung up is told nothing: then Attio tells the refusal.
    assert!(world.lead.give_back_refusal(refused.send));
    assert_eq!(world.lead.wanted().map(|wanted| wanted.title), Some(Title::Failed));
}

#[test]
fn a_refused_id_leaves_the_rest_and_stays_told() {
    let mut world = World::new(Telling::LeadId);
    let now = world.now;
    world.lead.begin(now);
    world.lead.submitted(world.sends[0], Some("1".to_owned()), None, now);
    let words = || Some("Attio: it is taken".to_owned());
    world.lead.not_shown(ShowFailure::ResultRefused, Again::failed(now), words(), now);
    world.lead.not_shown(ShowFailure::LeadIdRefused, Again::failed(now), words(), now);
    assert!(world.lead.attio.lead_id_refused && !world.lead.attio.result_refused, "the id instead of the result");
    let wanted = world.lead.wanted().expect("Pending");
    world.lead.shown(wanted, None, now);
    assert_eq!(world.lead.view().last_error, words(), "a person can read why the id is missing");
    world.lead.finish("qualified", Some("1"), None, now);
    assert!(world.lead.attio.lead_id_refused, "another title does not make it acceptable");
    let wanted = world.lead.wanted().expect("Complete");
    world.lead.shown(wanted, None, now);
    assert_eq!(world.lead.view().last_error, words(), "nor is the reason forgotten");
    world.lead.send_again(PresentSend::new(SendId::random(), now));
    assert!(!world.lead.attio.lead_id_refused, "another send has another id");
}

/// A record that ALC alone has named.
fn adopted() -> World {
    let mut world = World::new(Telling::LeadId);
    let send = PresentSend::new(SendId::random(), world.now);
    world.lead = Lead::new(RecordId::random(), send);
    world.lead.adopt("qualified", Some("1"), None, world.now);
    world
}

fn attio_says_gone(world: &mut World) {
    world.lead.not_shown(ShowFailure::Gone, Again::failed(world.now), None, world.now);
}

#[test]
fn what_attio_has_taken_of_an_adopted_lead_is_kept_whatever_becomes_of_the_record() {
    let mut world = adopted();
    assert!(!world.lead.is_end_to_be_noted(Some(from_micros(0))), "nothing proves the record yet");
    assert!(matches!(world.next(), Step::Show(_)));
    world.lead.shown(world.lead.wanted().expect("a showing"), None, world.now);
    assert!(world.lead.is_end_to_be_noted(Some(from_micros(0))));
    // A PATCH that came late is mended, and meets a record that was deleted since.
    world.lead.attio.set_shown(None);
    attio_says_gone(&mut world);
    assert_ne!(world.next(), Step::Forget);
}

#[test]
fn attio_tells_only_of_the_workspaces_own_records() {
    type Event = fn(&mut Known, RecordId, Timestamp);
    let events: [Event; 2] = [
        |known, record, now| deleted(known, record, None, now).expect("all is known"),
        |known, record, now| merged(known, RecordId(uuid::Uuid::from_u128(1)), record, now).expect("all is known"),
    ];
    for tell in events {
        let mut world = adopted();
        let record = world.lead.record_id;
        let mut known = Known::from([(record, Some(world.lead.clone())), (RecordId(uuid::Uuid::from_u128(1)), None)]);
        tell(&mut known, record, world.now);
        world.lead = known.remove(&record).flatten().expect("the lead");
        attio_says_gone(&mut world);
        assert_ne!(world.next(), Step::Forget, "Attio has told of the record");
        assert!(world.lead.is_end_to_be_noted(Some(from_micros(0))));
    }
}
