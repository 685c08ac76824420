//! The webhooks of a current connection, looked at again and replaced: what the workspace decides.

use std::time::Duration;

use super::life::{BASE, Event, HOUR, MINUTE, Outcome, World};
use crate::{
    clock::later,
    connections::{
        WebhookState,
        workspace::{agenda::Step, schema::Found, side::Side, webhook::Webhook},
    },
    ids::{ListId, WebhookId},
};

/// A workspace with a current connection, and its webhook at that side.
fn connected(side: Side) -> (World, WebhookId) {
    let mut world = World::new();
    for event in [
        Event::Open { with_refresh: false, with_attio: side == Side::Attio },
        Event::BeginConnecting(0),
        Event::Register(0),
        Event::FinishConnecting(0),
    ] {
        world.apply(event);
    }
    world.step(Outcome::Done);
    let webhook = world.workspace.watched(side).expect("a webhook").id;
    (world, webhook)
}

fn seconds_until_look(world: &World, side: Side) -> i64 {
    let webhook = world.workspace.watched(side).expect("a webhook");
    webhook.look_at.expect("a look").as_second() - world.now.as_second()
}

/// What the webhook has become.
fn state(world: &World, side: Side, id: WebhookId) -> Option<WebhookState> {
    world.workspace.webhook(side, id).map(|webhook| webhook.state)
}

fn edit(world: &mut World, side: Side, id: WebhookId, change: impl FnOnce(&mut Webhook)) {
    change(world.workspace.webhook_mut(side, id).expect("it"));
}

#[test]
fn looks_are_spread_and_each_is_within_a_day() {
    let looks: Vec<_> = (0..200).map(|_| seconds_until_look(&connected(Side::Alc).0, Side::Alc)).collect();
    assert!(looks.iter().all(|look| (16 * 3600..24 * 3600).contains(look)), "{looks:?}");
    let (first, last) = (looks.iter().min().expect("some"), looks.iter().max().expect("some"));
    assert!(last - first > 5 * 3600, "from {first} to {last}");
}

#[test]
fn what_an_older_version_never_planned_is_looked_at_within_a_day() {
    for side in Side::BOTH {
        let (mut world, webhook) = connected(side);
        let expected = Step::CheckWebhook(side, webhook);
        edit(&mut world, side, webhook, |webhook| webhook.look_at = None);
        assert!(world.workspace.plan_looks(BASE, None, world.now));
        assert!(!world.workspace.plan_looks(BASE, None, world.now), "once");
        let steps: Vec<_> = (0..24)
            .map(|_| {
                world.now = later(world.now, HOUR);
                let step = world.workspace.next_step(world.now);
                world.step(Outcome::Done);
                step
            })
            .collect();
        assert!(steps.contains(&expected), "{side:?}: {steps:?}");
    }
}

#[test]
fn one_with_an_earlier_public_url_is_looked_at_within_the_hour_after_a_start() {
    for side in Side::BOTH {
        let (mut world, webhook) = connected(side);
        edit(&mut world, side, webhook, |webhook| webhook.base = Some(BASE.to_owned()));
        assert!(!world.workspace.plan_looks(BASE, None, world.now));
        assert!(world.workspace.plan_looks("https://next.example", None, world.now));
        assert!(seconds_until_look(&world, side) <= 3600);
    }
}

#[test]
fn a_lost_webhook_answers_and_is_shown_as_gone_until_another_one_is_there() {
    for side in Side::BOTH {
        let (mut world, last) = connected(side);
        let (next, third) = (world.replacement(side, last), world.replacement(side, last));
        world.workspace.intend_instead(side, last, true, next.clone(), world.now);
        // Another worker does not make a third one beside it.
        world.workspace.intend_instead(side, last, true, third.clone(), world.now);
        assert_eq!(state(&world, side, third.id), None);
        world.step(Outcome::Done);
        assert_eq!(state(&world, side, last), Some(WebhookState::Registered), "it is not deleted yet");
        let current = world.workspace.current().expect("connected").id;
        let view = |world: &World| {
            let view = world.workspace.view(current, BASE, None).expect("connected");
            let shown = if side == Side::Alc { view.webhook } else { view.attio_webhook }.expect("a webhook");
            (shown.id, shown.status)
        };
        assert_eq!(view(&world), (last, WebhookState::Gone));
        let now = world.now;
        world.workspace.webhook_replaced(side, last, next.id, (Some("next".to_owned()), None), now);
        assert_eq!(world.workspace.watched(side).map(|webhook| webhook.id), Some(next.id));
        assert_eq!(state(&world, side, last), Some(WebhookState::Deleting));
        assert_eq!(view(&world), (next.id, WebhookState::Registered));
        if side == Side::Alc {
            world.step(Outcome::Done);
            assert_eq!(state(&world, side, last), Some(WebhookState::Gone), "its leads have not been looked at");
        }
    }
}

#[test]
fn a_worker_that_dies_leaves_a_spare_that_is_deleted_and_another_one_is_made() {
    for side in Side::BOTH {
        let (mut world, last) = connected(side);
        let (next, third) = (world.replacement(side, last), world.replacement(side, last));
        world.workspace.intend_instead(side, last, true, next.clone(), world.now);
        world.now = later(world.now, MINUTE);
        world.workspace.settle(world.now);
        assert_eq!(state(&world, side, next.id), Some(WebhookState::Deleting));
        let now = world.now;
        world.workspace.intend_instead(side, last, true, third.clone(), now);
        world.workspace.webhook_replaced(side, last, third.id, (Some("third".to_owned()), None), now);
        // The dead worker was only slow: what it made is deleted by its id.
        world.workspace.webhook_replaced(side, last, next.id, (Some("next".to_owned()), None), now);
        assert_eq!(world.workspace.watched(side).map(|webhook| webhook.id), Some(third.id));
        let spare = world.workspace.webhook(side, next.id).expect("to be deleted");
        assert_eq!((spare.state, spare.upstream_id.as_deref()), (WebhookState::Deleting, Some("next")));
    }
}

#[test]
fn a_takeover_while_another_one_is_made_leaves_nothing_behind() {
    for side in Side::BOTH {
        let (mut world, last) = connected(side);
        let next = world.replacement(side, last);
        let current = world.workspace.current().expect("connected").id;
        world.workspace.intend_instead(side, last, false, next.clone(), world.now);
        world.workspace.removed(current, world.now);
        let now = world.now;
        world.workspace.webhook_replaced(side, last, next.id, (Some("next".to_owned()), None), now);
        for webhook in [last, next.id] {
            assert_eq!(state(&world, side, webhook), Some(WebhookState::Deleting), "{side:?}");
        }
        assert!(world.workspace.watched(side).is_none());
    }
}

#[test]
fn a_look_that_fails_comes_again_sooner_than_tomorrow() {
    let (mut world, webhook) = connected(Side::Alc);
    let soon = later(world.now, Duration::from_secs(5));
    world.workspace.look_postponed(Side::Alc, webhook, Some(soon), world.now);
    assert_eq!(world.workspace.due(world.now), Some(soon));
    world.workspace.look_postponed(Side::Alc, webhook, None, world.now);
    assert!(seconds_until_look(&world, Side::Alc) > 15 * 3600);
}

#[test]
fn attio_is_looked_at_every_half_hour_and_the_looks_are_spread() {
    let worlds: Vec<_> = (0..100).map(|_| connected(Side::Attio).0).collect();
    let mut looks = Vec::new();
    for mut world in worlds {
        world.workspace.schema_checked(&Found::default(), world.now);
        let due = world.workspace.due(world.now).expect("a look");
        assert_eq!(world.workspace.next_step(due), Step::CheckSchema);
        looks.push(due.as_second() - world.now.as_second());
    }
    assert!(looks.iter().all(|look| (1800..=2100).contains(look)), "{looks:?}");
    assert!(looks.iter().max().expect("some") - looks.iter().min().expect("some") > 120, "{looks:?}");
}

#[test]
fn a_list_that_is_named_later_is_looked_for_at_once_and_the_webhook_replaced() {
    let (mut world, webhook) = connected(Side::Attio);
    let (now, list) = (world.now, ListId::random());
    world.workspace.schema_checked(&Found::default(), now);
    assert!(world.workspace.plan_looks(BASE, Some("to-alc"), now));
    assert!(world.workspace.due(now).is_some_and(|due| due <= later(now, MINUTE)));
    let found = |id| Found { list: Some(("to-alc".to_owned(), id)), ..Found::default() };
    world.workspace.schema_checked(&found(Some(list)), now);
    assert_eq!(world.workspace.next_step(now), Step::CheckWebhook(Side::Attio, webhook));
    assert_eq!(world.workspace.list_that_sends(Some("to-alc")), Some(list));
    assert_eq!(world.workspace.list_that_sends(Some("another")), None, "not of a list that is not named");
    assert_eq!(world.workspace.list_that_sends(None), None);
    // A list that cannot be found for once is still the list: who enters it meanwhile is sent.
    world.workspace.schema_checked(&found(None), now);
    assert_eq!(world.workspace.list_that_sends(Some("to-alc")), Some(list));
    edit(&mut world, Side::Attio, webhook, |webhook| webhook.entries_of = Some(list));
    world.workspace.schema_checked(&Found::default(), now);
    assert_eq!(world.workspace.next_step(now), Step::CheckWebhook(Side::Attio, webhook), "the list is named no more");
}

#[test]
fn a_list_that_results_put_people_into_never_sends() {
    let (mut world, _) = connected(Side::Attio);
    let (now, list, other) = (world.now, ListId::random(), ListId::random());
    let found = |id| Found { list: Some(("to-alc".to_owned(), id)), ..Found::default() };
    let mut apart = found(Some(list));
    apart.keep_apart("won", other, None);
    assert!(apart.problems.is_empty());
    world.workspace.schema_checked(&apart, now);
    assert_eq!(world.workspace.list_that_sends(Some("to-alc")), Some(list));
    // Also where it cannot be seen for once, by its slug.
    for id in [Some(list), None] {
        let mut same = found(id);
        same.keep_apart("won", list, Some(list));
        let named = same.problems.iter().map(|it| (it.list.as_deref(), it.problem.contains("name two lists")));
        assert_eq!(named.collect::<Vec<_>>(), [(Some("won"), true)]);
        let mut workspace = world.workspace.clone();
        workspace.schema_checked(&same, now);
        assert_eq!(workspace.list_that_sends(Some("to-alc")), None);
    }
}
