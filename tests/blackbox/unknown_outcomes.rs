//! Operation `sendLead` where ALC's answer was lost: what ALC did is not known. At an ALC that can look up or honours
//! keys nothing is ever sent twice.

use std::time::Duration;

use sandbox::Fault;

use crate::support::{
    ambient::spawn,
    harness::{HOUR, MINUTE, Person, Setup, run, scenario},
};

fn done_without_a_clear_answer() -> Vec<Fault> {
    vec![Fault::done_but_500(), Fault::Reset, Fault::DoneButHang, Fault::Garbage, Fault::Truncated, Fault::late(1500)]
}

fn not_done_and_no_clear_answer() -> Vec<Fault> {
    vec![Fault::status(500), Fault::status(503), Fault::Refuse, Fault::Hang]
}

/// Each of these strikes one press; in the end each lead is pending, sent once, under one key.
async fn each_is_sent_once(setup: Setup, faults: Vec<Fault>) {
    let (world, app) = setup.impatient().connected().await;
    for fault in faults {
        let ada = world.person();
        let before = world.alc.journal().count("create_lead");
        world.alc.faults().next("create_lead", fault.clone());
        let pressed = spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press(&ada).await }
        });
        world.alc.journal().wait_for("create_lead", before + 1).await;
        world.pass(Duration::from_secs(2)).await;
        let status = pressed.await.expect("an answer").status;
        assert!([201, 202].contains(&status), "{fault:?}: {status}");
        let pending = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it is pending", MINUTE, HOUR, pending).await;
        let sent = world.alc.leads_of(&ada.record_id);
        assert_eq!(sent.len(), 1, "{fault:?}: sent twice");
        assert_eq!(app.lead_says(&ada, "lead_id").await, sent[0].id.as_str(), "{fault:?}: the id was found");
        let requests = world.alc.journal().requests("create_lead");
        let keys = requests[before..].iter().map(|seen| seen.idempotency_key().map(str::to_owned));
        let mut keys: Vec<_> = keys.collect();
        keys.dedup();
        assert_eq!(keys.len(), 1, "{fault:?}: one key over all attempts");
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn done_at_a_rich_alc(setup: Setup) {
        each_is_sent_once(setup, done_without_a_clear_answer()).await;
    }
}

scenario! {
    async fn done_at_an_alc_that_only_looks_up(setup: Setup) {
        each_is_sent_once(setup.alc(|alc| alc.idempotency = false), done_without_a_clear_answer()).await;
    }
}

scenario! {
    async fn done_at_an_alc_that_only_honours_keys(setup: Setup) {
        each_is_sent_once(setup.alc(|alc| alc.look_ups = false), done_without_a_clear_answer()).await;
    }
}

scenario! {
    async fn not_done_at_a_rich_alc(setup: Setup) {
        each_is_sent_once(setup, not_done_and_no_clear_answer()).await;
    }
}

scenario! {
    /// Whatever replica it is that meets it, and however little that replica knows of ALC.
    async fn the_first_connection_that_breaks_is_looked_up_and_nothing_is_sent_again(setup: Setup) {
        let (world, app) = setup.alc(|alc| alc.idempotency = false).connected().await;
        // Each replica has a connection to ALC in its pool.
        for _ in 0..8 {
            app.press(&world.person()).await.expect(201);
        }
        for _ in 0..6 {
            let ada = world.person();
            world.alc.faults().next("create_lead", Fault::Reset);
            app.press(&ada).await;
            let pending = async || app.lead_says(&ada, "status").await == "pending";
            world.pass_until("it is pending", MINUTE, HOUR, pending).await;
            assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1, "sent twice");
        }
    }
}

/// A proxy's 404 in front of an ALC that is being deployed says nothing of what ALC can do. Only the replica that has
/// had a list of ALC's knows what ALC can do, so there is one.
#[test]
fn an_alc_that_listed_leads_until_a_moment_ago_is_waited_for_and_nothing_is_sent_twice() {
    run(async {
        let setup = Setup::sqlite().alc(|alc| alc.idempotency = false).with("RETRY__SCHEDULE", "1m");
        let (world, app) = setup.connected().await;
        let (first, second) = (world.person(), world.person());
        let pending = async |person: &Person| app.lead_says(person, "status").await == "pending";
        world.alc.faults().next("create_lead", Fault::done_but_500());
        app.press(&first).await;
        world.pass_until("ALC has listed", MINUTE, HOUR, async || pending(&first).await).await;
        // The send has failed so often before that no list which cannot be read would be asked for again.
        world.alc.server().go_down().await;
        app.press(&second).await.expect(202);
        world.pass_slowly(5 * MINUTE, 12).await;
        world.alc.faults().next("create_lead", Fault::done_but_500());
        world.alc.faults().times("list_leads", 5, Fault::status(404));
        world.alc.server().come_up().await;
        world.pass_until("it is pending", MINUTE, HOUR, async || pending(&second).await).await;
        assert!(world.alc.faults().rules().is_empty(), "ALC was asked, and asked again");
        assert_eq!(world.alc.leads_of(&second.record_id).len(), 1, "sent twice");
    });
}

scenario! {
    async fn an_earlier_sends_lead_is_not_taken_for_the_present_one(setup: Setup) {
        let (world, app) = setup.impatient().alc(|alc| alc.idempotency = false).connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "unreachable").await;
        world.shows(&ada, "Complete").await;
        world.alc.faults().next("create_lead", Fault::status(500));
        app.press(&ada).await;
        let pending = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it is pending", MINUTE, HOUR, pending).await;
        let sent = world.alc.leads_of(&ada.record_id);
        assert_eq!(sent.len(), 2, "the second send went out for itself");
        assert_eq!(app.lead_says(&ada, "lead_id").await, sent[1].id.as_str());
    }
}

scenario! {
    async fn an_answer_without_an_id_is_accepted(setup: Setup) {
        let (world, app) = setup.alc(|alc| alc.lead_ids = false).connected().await;
        let ada = world.person();
        let lead = app.press(&ada).await.expect(201).json();
        assert_eq!(lead["lead_id"], serde_json::Value::Null);
        assert_eq!(lead["status"], "pending");
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}
