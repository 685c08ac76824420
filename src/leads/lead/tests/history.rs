//! What a lead remembers of its life for operators.

use std::time::Duration;

use super::{
    super::{
        aggregate::Lead,
        alc::Again,
        attio::ShowFailure,
        history::History,
        send::PresentSend,
        shown::{Showing, Title},
    },
    world::{Telling, World},
};
use crate::{
    clock::{Timestamp, from_micros, later},
    ids::{RecordId, SendId},
    store::encode,
};

fn words(lead: &Lead) -> Vec<String> {
    lead.history.told().into_iter().map(|entry| entry.what).collect()
}

/// Makes a change, and lets the lead write down what happened.
fn told(lead: &mut Lead, now: Timestamp, change: impl FnOnce(&mut Lead)) {
    let before = lead.clone();
    change(lead);
    lead.keep_history(Some(&before), now);
}

#[test]
fn a_usual_life_is_told_in_order_and_is_short() {
    let now = from_micros(1_700_000_000_000_000);
    let send = SendId::random();
    let mut lead = Lead::new(RecordId::random(), PresentSend::new(send, now));
    lead.keep_history(None, now);
    told(&mut lead, now, |lead| lead.begin(now));
    told(&mut lead, now, |lead| lead.submitted(send, Some("17".to_owned()), None, now));
    told(&mut lead, now, |lead| lead.shown(Showing { send, title: Title::Pending }, None, now));
    told(&mut lead, now, |lead| _ = lead.finish("qualified", Some("17"), None, now));
    told(&mut lead, now, |lead| lead.shown(Showing { send, title: Title::Complete }, None, now));
    assert_eq!(words(&lead), ["pressed", "accepted", "attio-shows-pending", "complete", "attio-shows-complete"]);
    let without = encode(&Lead { history: History::default(), ..lead.clone() });
    let costs = encode(&lead).len() - without.len();
    assert!(costs < 200, "{costs} bytes of each lead");
}

#[test]
fn what_fails_again_and_again_is_counted_and_leaves_room_for_the_rest() {
    let mut world = World::new(Telling::LeadId);
    world.lead.keep_history(None, world.now);
    for _ in 0..200 {
        world.now = later(world.now, Duration::from_secs(60));
        let (now, attempt) = (world.now, world.lead.attempt());
        told(&mut world.lead, now, |lead| lead.not_sent(attempt, Again::failed(now), Some("ALC: 503".to_owned()), now));
        told(&mut world.lead, now, |lead| lead.not_shown(ShowFailure::Later, Again::failed(now), None, now));
    }
    let told = world.lead.history.told();
    assert_eq!(words(&world.lead), ["pressed", "alc-failed", "attio-failed"]);
    assert_eq!(told[1].times, 200);
    assert_eq!(told[1].said.as_deref(), Some("ALC: 503"));
    assert_eq!(told[1].last, world.now);
}

#[test]
fn a_word_of_a_newer_version_is_kept() {
    let stored = r#"[[1,"sung"],[2,"sung",2,3],[4,"alc-failed",1,0,"ALC: 503"]]"#;
    let history: History = serde_json::from_str(stored).expect("it reads");
    assert_eq!(serde_json::to_string(&history).expect("it writes"), stored);
    let longer = r#"[[1,"sung",2,3,null,{"loudly":true},7]]"#;
    assert_eq!(serde_json::from_str::<History>(longer).expect("it reads").told()[0].times, 2);
}
