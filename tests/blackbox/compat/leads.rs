//! Stages of leads, and of receipts.

use std::{future::Future, time::Duration};

use sandbox::{Fault, Stage as When, attio::rate_limit, attio::refusal};

use super::{
    stage::{Act, End, Ending, Stage, Tokens},
    workspaces::{alc_limits, put_trigger, subscribed},
};
use crate::support::{
    ambient::{eventually, spawn},
    attio_app::{AttioApp, lead_body},
    harness::{DAY, HOUR, MINUTE, Person, World},
};

const LONG_AGO: Duration = Duration::from_secs(40 * 60);
const MOMENT: Duration = Duration::from_millis(50);

const fn stage(name: &'static str, about: &'static str, play: super::stage::Play) -> Stage {
    Stage { name, about, attio_grants: false, settings: &[], age: LONG_AGO, play }
}

/// Every one of them.
pub const ALL: [Stage; 9] = [
    stage("queued", "ALC limits: one lead was refused, another one never tried.", |world| Box::pin(queued(world))),
    stage(
        "in-doubt",
        "ALC gave no clear answer: one lead is there, one is not, and for one the call is under way.",
        |world| Box::pin(in_doubt(world)),
    ),
    stage(
        "pending",
        "Pending leads: shown, shown perhaps, not shown, without an id, kept back by Attio's limit.",
        |world| Box::pin(pending(world)),
    ),
    stage(
        "complete",
        "Complete leads: shown, shown without the result, perhaps undone, gone at Attio, not shown; one refused.",
        |world| Box::pin(complete(world)),
    ),
    Stage {
        settings: &[("LEADS__SEND_DEADLINE", "1d"), ("LEADS__DEADLINE", "2d")],
        ..stage("failed", "A lead for each reason to fail but `disconnected`.", |world| Box::pin(failed(world)))
    },
    stage("workflows", "Workflows wait for leads, are owed calls, and are owed calls about earlier sends.", |world| {
        Box::pin(workflows(world))
    }),
    stage(
        "merges",
        "Records were merged: leads that forward, a lead that joined another one's, two live ones.",
        |world| Box::pin(merges(world)),
    ),
    stage(
        "earlier",
        "Sent again: an earlier result is owed to Attio, an earlier lead's id was never learnt.",
        |world| Box::pin(earlier(world)),
    ),
    stage("receipts", "Keys were seen, of a finished lead and of one that waits.", |world| Box::pin(receipts(world))),
];

/// Presses, and waits until Attio shows it as pending.
async fn pressed(world: &World, app: &AttioApp) -> Person {
    let person = world.person();
    app.press(&person).await.expect(201);
    world.shows(&person, "Pending").await;
    world.synced(app, &person).await;
    person
}

/// Waits for one more write to Attio after `doing`.
async fn written(world: &World, doing: impl Future<Output = ()>) {
    let before = world.attio.journal().count("patch_record");
    doing.await;
    let once_more = async || world.attio.journal().count("patch_record") > before;
    world.pass_until("Attio is written to", MOMENT, MINUTE, once_more).await;
    world.pass(Duration::ZERO).await;
}

/// Presses while the next write to Attio fails so.
async fn met(world: &World, app: &AttioApp, fault: Fault) -> Person {
    let person = world.person();
    world.attio.faults().next("patch_record", fault);
    written(world, async { drop(app.press(&person).await.expect(201)) }).await;
    person
}

async fn queued(world: &World) -> Ending {
    let app = world.connect().await;
    let (ada, bob) = (world.person(), world.person());
    alc_limits(world);
    app.press(&ada).await.expect(202);
    app.press(&bob).await.expect(202);
    let leads = vec![End::told(&ada, "refused", "qualified"), End::told(&bob, "never tried", "unqualified")];
    Ending { app: Tokens::of(&app), leads, ..Ending::default() }
}

async fn in_doubt(world: &World) -> Ending {
    // What is sent twice would be there twice.
    world.alc.configure(|alc| alc.idempotency = false);
    let app = world.connect().await;
    let (there, absent, under_way) = (world.person(), world.person(), world.person());
    world.alc.faults().next("create_lead", Fault::done_but_500());
    app.press(&there).await.expect(202);
    world.alc.faults().next("create_lead", Fault::status(500));
    app.press(&absent).await.expect(202);
    let hold = world.alc.faults().hold("create_lead", When::After);
    drop(spawn({
        let (app, person) = (app.clone(), under_way.clone());
        async move { app.press(&person).await }
    }));
    hold.reached(1).await;
    hold.keep();
    let leads = vec![
        End::told(&there, "in doubt, and at ALC", "qualified"),
        End::told(&absent, "in doubt, and not at ALC", "unqualified"),
        End::told(&under_way, "under way, and at ALC", "lost"),
    ];
    Ending { app: Tokens::of(&app), leads, ..Ending::default() }
}

async fn pending(world: &World) -> Ending {
    let app = world.connect().await;
    let shown = pressed(world, &app).await;
    world.alc.configure(|alc| alc.lead_ids = false);
    let nameless = pressed(world, &app).await;
    world.alc.configure(|alc| alc.lead_ids = true);
    let perhaps = met(world, &app, Fault::Reset).await;
    let not_shown = met(world, &app, Fault::status(503)).await;
    let limited = met(world, &app, rate_limit(world.now() + jiff::SignedDuration::from_mins(10))).await;
    let leads = vec![
        End::told(&shown, "shown", "qualified"),
        End::told(&nameless, "without an id", "unqualified"),
        End::told(&perhaps, "shown perhaps", "qualified"),
        End::told(&not_shown, "not shown", "unqualified"),
        End::told(&limited, "kept back by Attio's limit", "qualified"),
    ];
    Ending { app: Tokens::of(&app), leads, ..Ending::default() }
}

async fn complete(world: &World) -> Ending {
    let app = world.connect().await;
    let shown = pressed(world, &app).await;
    world.call_back(&shown, "qualified").await;
    world.shows(&shown, "Complete").await;
    world.synced(&app, &shown).await;
    let wordless = pressed(world, &app).await;
    world.attio.set_attribute("alc_result", "select", |_| {});
    world.call_back(&wordless, "no option").await;
    world.shows(&wordless, "Complete").await;
    world.synced(&app, &wordless).await;
    world.attio.set_attribute("alc_result", "text", |_| {});
    let gone = world.person();
    world.attio.delete_person(&gone.record_id);
    written(world, async { drop(app.press(&gone).await.expect(201)) }).await;
    world.call_back(&gone, "qualified").await;
    let perhaps = met(world, &app, Fault::Reset).await;
    world.call_back(&perhaps, "unqualified").await;
    world.shows(&perhaps, "Complete").await;
    // Once it has been looked whether the lost write has come through after all.
    world.pass(MINUTE * 2).await;
    let looked = async || world.attio.journal().count("get_record") > 0;
    world.pass_until("it is looked at", MOMENT, MINUTE, looked).await;
    let not_shown = pressed(world, &app).await;
    world.attio.faults().always("patch_record", Fault::status(503));
    written(world, world.call_back(&not_shown, "qualified")).await;
    world.attio.faults().clear("patch_record");
    let refused = met(world, &app, refusal(403, "unauthorized", "no scope")).await;
    let leads = vec![
        End::known(&shown, "shown", "qualified"),
        End::known(&wordless, "shown without its result", "no option"),
        End::known(&gone, "gone at Attio", "qualified").unshown("failed"),
        End::known(&perhaps, "shown, and a lost write may undo it", "unqualified"),
        End::known(&not_shown, "not shown", "qualified"),
        End::told(&refused, "pending, and refused by Attio", "qualified"),
    ];
    Ending { app: Tokens::of(&app), leads, ..Ending::default() }
}

/// ALC refuses it at the second try, when nobody waits for the answer any more.
async fn rejected_behind(world: &World, app: &AttioApp, person: &Person) {
    world.alc.faults().next("create_lead", Fault::status(503));
    app.press(person).await.expect(202);
    world.alc.faults().next("create_lead", Fault::status(400));
    let rejected = async || app.lead_says(person, "reason").await == "rejected";
    world.pass_until("it is rejected", MINUTE, HOUR, rejected).await;
}

async fn failed(world: &World) -> Ending {
    let app = subscribed(world).await;
    let [inside, behind, seen, not_sent] = [world.person(), world.person(), world.person(), world.person()];
    world.alc.faults().next("create_lead", Fault::status(400));
    app.press(&inside).await.expect(422);
    rejected_behind(world, &app, &seen).await;
    world.shows(&seen, "Failed").await;
    let deleted = pressed(world, &app).await;
    world.attio.delete_and_tell(&deleted.record_id).await;
    let superseded = pressed(world, &app).await;
    world.pass(MINUTE).await;
    let twin = pressed(world, &app).await;
    let made = world.attio.merge(&superseded.record_id, &twin.record_id).await;
    let (timed_out, late) = (pressed(world, &app).await, pressed(world, &app).await);
    world.attio.faults().always("patch_record", Fault::status(503));
    rejected_behind(world, &app, &behind).await;
    alc_limits(world);
    app.press(&not_sent).await.expect(202);
    for (person, reason) in [(&not_sent, "not-sent"), (&timed_out, "timed-out"), (&late, "timed-out")] {
        let over = async || app.lead_says(person, "reason").await == reason;
        world.pass_until(reason, HOUR * 6, DAY * 3, over).await;
    }
    let leads = vec![
        End::failed(&inside, "rejected inside the request", "rejected").sent(0).unshown("synced"),
        End::failed(&behind, "rejected behind the request", "rejected").sent(0),
        End::failed(&seen, "rejected behind the request, and shown", "rejected").sent(0),
        End::failed(&deleted, "its record was deleted", "record-deleted").unshown("synced"),
        // Whichever of the two is asked for, the lead that speaks for both answers.
        End::told(&twin, "timed out, as the merged record's, and ALC calls late", "qualified").shown_at(&made),
        End::known(&superseded, "superseded", "qualified").shown_at(&made),
        End::failed(&timed_out, "timed out", "timed-out"),
        End::told(&late, "timed out, and ALC calls late", "unqualified"),
        End::failed(&not_sent, "not sent", "not-sent").sent(0),
    ];
    Ending { app: Tokens::of(&app), leads, ..Ending::default() }
}

/// The button of a deferred workflow step.
async fn press_and_wait(world: &World, app: &AttioApp, person: &Person, step: &str) {
    let mut body = lead_body(person);
    body["finish_callback_url"] = world.attio.callback_url(step).into();
    app.press_body(&body).await.expect(201);
    world.shows(person, "Pending").await;
}

async fn workflows(world: &World) -> Ending {
    let app = world.connect().await;
    put_trigger(world, &app, "trigger").await;
    let (ada, bob, cyd) = (world.person(), world.person(), world.person());
    world.attio.faults().always("workflow_callback", Fault::status(500));
    press_and_wait(world, &app, &ada, "waiting").await;
    press_and_wait(world, &app, &bob, "owed").await;
    world.call_back(&bob, "qualified").await;
    world.shows(&bob, "Complete").await;
    press_and_wait(world, &app, &cyd, "first").await;
    world.call_back(&cyd, "unqualified").await;
    world.shows(&cyd, "Complete").await;
    press_and_wait(world, &app, &cyd, "second").await;
    let tried = async || world.attio.journal().count("workflow_callback") >= 4;
    world.pass_until("all that is owed was tried", MOMENT, MINUTE, tried).await;
    let leads = vec![
        End::told(&ada, "a step waits", "qualified"),
        End::known(&bob, "a step and a trigger are owed", "qualified"),
        End::told(&cyd, "owed of the first send, waiting for the second", "lost").sent(2),
    ];
    let told = [("waiting", 1), ("owed", 1), ("first", 1), ("second", 1), ("trigger", 4)];
    let told = told.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    Ending { app: Tokens::of(&app), leads, told, ..Ending::default() }
}

async fn merges(world: &World) -> Ending {
    let app = subscribed(world).await;
    let (ada, bob) = (pressed(world, &app).await, pressed(world, &app).await);
    world.pass(MINUTE).await;
    let cyd = pressed(world, &app).await;
    let (twin, third) = (world.person(), world.person());
    world.attio.faults().always("patch_record", Fault::status(503));
    let made = world.attio.merge(&ada.record_id, &twin.record_id).await;
    let last = world.attio.merge(&made, &third.record_id).await;
    let both = world.attio.merge(&bob.record_id, &cyd.record_id).await;
    let leads = vec![
        End::told(&ada, "merged twice, pending", "qualified").shown_at(&last),
        End::known(&twin, "was never sent, and forwards", "qualified").shown_at(&last).sent(0),
        End::known(&third, "was never sent, and forwards", "qualified").shown_at(&last).sent(0),
        End::told(&cyd, "the newer of two live ones", "unqualified").shown_at(&both),
        End::known(&bob, "superseded by the newer one", "unqualified").shown_at(&both),
    ];
    Ending { app: Tokens::of(&app), leads, ..Ending::default() }
}

async fn earlier(world: &World) -> Ending {
    let app = world.connect().await;
    world.alc.configure(|alc| (alc.lead_ids, alc.rich_callbacks) = (false, false));
    let nameless = pressed(world, &app).await;
    world.call_back(&nameless, "unreachable").await;
    world.shows(&nameless, "Complete").await;
    world.alc.configure(|alc| (alc.lead_ids, alc.rich_callbacks) = (true, true));
    let refused = world.person();
    world.alc.faults().next("create_lead", Fault::status(400));
    app.press(&refused).await.expect(422);
    app.press(&refused).await.expect(201);
    world.shows(&refused, "Pending").await;
    world.synced(&app, &refused).await;
    let owed = pressed(world, &app).await;
    world.attio.faults().next("patch_record", Fault::status(503));
    written(world, world.call_back(&owed, "unreachable")).await;
    let in_hand = world.person();
    let hold = world.attio.faults().hold("patch_record", When::Before);
    app.press(&in_hand).await.expect(201);
    world.pass_until("it is in hand", MOMENT, MINUTE, async || world.attio.faults().withheld() == 1).await;
    world.call_back(&in_hand, "unreachable").await;
    hold.keep();
    alc_limits(world);
    app.press(&nameless).await.expect(202);
    app.press(&owed).await.expect(202);
    // Its caller still waits when the stage ends.
    drop(spawn({
        let (app, person) = (app.clone(), in_hand.clone());
        async move { app.press(&person).await }
    }));
    let queued = async || (app.lead_says(&in_hand, "status").await == "queued").then_some(());
    eventually("it is sent again", queued).await;
    let leads = vec![
        End::told(&nameless, "sent again, the first one's id unknown", "qualified").sent(2),
        End::told(&owed, "sent again, the first one's result not shown", "unqualified").sent(2),
        End::told(&refused, "sent again after a refusal", "qualified"),
        End::told(&in_hand, "sent again, while another worker shows it as pending", "unqualified").sent(2),
    ];
    Ending { app: Tokens::of(&app), leads, ..Ending::default() }
}

async fn receipts(world: &World) -> Ending {
    let app = world.connect().await;
    let (ada, bob) = (world.person(), world.person());
    app.press_with_key(&ada, "of a finished lead").await.expect(201);
    world.call_back(&ada, "qualified").await;
    world.shows(&ada, "Complete").await;
    world.synced(&app, &ada).await;
    alc_limits(world);
    app.press_with_key(&bob, "of a lead that waits").await.expect(202);
    let again = Act::PressAgain { key: "of a finished lead".to_owned(), lead: 0, status: 201 };
    let leads = vec![End::known(&ada, "complete", "qualified"), End::told(&bob, "queued", "unqualified")];
    Ending { app: Tokens::of(&app), first: vec![again], leads, ..Ending::default() }
}
