//! Single promises of a send's life.

use serde_json::Map;

use super::{
    super::{
        next_step::Step,
        outcome::Reason,
        reach::Reach,
        result::Finished,
        send::{PresentSend, SealedPerson},
        shown::Title,
    },
    world::{HOUR, Telling, World},
};
use crate::{
    clock::from_micros,
    ids::{SendId, WebhookId},
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
