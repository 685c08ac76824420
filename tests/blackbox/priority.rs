//! Who waits for whom (operations `alcCallback`, `sendLead` and `sendLeads`): a result goes before any bulk, and an ALC
//! that hangs keeps neither results from Attio nor presses from their answers.
//!
//! How: on a clock that the test moves in small steps, it is counted how long a result takes to show in Attio while
//! hundreds of leads that were sent just before wait for their turn. And pending leads of dozens of other workspaces,
//! written straight into the store, are due to be asked for at an ALC that hangs or fails.

use std::time::Duration;

use alc_connector::{
    ids::random_uuid,
    lifecycle::Lifecycle,
    store::{Change, Commit, Committed, Key, Kind, LeaseChange, Tenant, Write},
};
use futures_util::future::join_all;
use jiff::SignedDuration;
use sandbox::{Fault, Stage};
use serde_json::json;

use crate::support::{
    attio_app::{AttioApp, lead_body},
    harness::{MINUTE, Person, Setup, World, scenario},
    http::send,
    stored::open,
};

const STEP: Duration = Duration::from_millis(100);
/// Within how much time a result shows, and the first lead of a bulk.
const RESULT: Duration = Duration::from_secs(3);
const FIRST: Duration = Duration::from_secs(1);

/// How much time passes until `done`.
async fn takes(world: &World, what: &str, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let began = world.now();
    world.pass_until(what, STEP, MINUTE, async || done().await).await;
    Duration::try_from(world.now().duration_since(began)).expect("time goes on")
}

async fn until_shown(world: &World, person: &Person, status: &str) -> Duration {
    takes(world, status, async || world.attio.status(&person.record_id).as_deref() == Some(status)).await
}

/// As many leads as one request may have; as soon as they are stored.
async fn send_bulk(world: &World, app: &AttioApp) {
    let leads: Vec<_> = (0..250).map(|_| lead_body(&world.person())).collect();
    let bulk = app.request(reqwest::Method::POST, "/v1/leads/batch").json(&json!({ "leads": leads }));
    send(bulk).await.expect(202);
}

scenario! {
    async fn a_result_and_a_press_go_before_a_bulk(setup: Setup) {
        let (world, app) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        send_bulk(&world, &app).await;
        let written = async || world.attio.journal().count("patch_record") > 1;
        let first = takes(&world, "the first Pending", written).await;
        assert!(first <= FIRST, "{first:?}");
        for _ in 0..20 {
            world.pass(STEP).await;
        }
        world.call_back(&ada, "qualified").await;
        let result = until_shown(&world, &ada, "Complete").await;
        assert!(result <= RESULT, "{result:?}");
        // What the bulk has sent to ALC does not stand before a press either: it is no more than Attio has been shown.
        world.while_time_passes(app.press(&bob)).await.expect(201);
        let pressed = until_shown(&world, &bob, "Pending").await;
        assert!(pressed <= RESULT, "{pressed:?}");
    }
}

scenario! {
    async fn a_result_goes_before_a_crowd_of_presses_that_hold_slots(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        // Time stands still: ALC has them all at once, and each gets a slot at Attio behind the one before.
        let crowd: Vec<_> = (0..150).map(|_| world.person()).collect();
        let answers = join_all(crowd.iter().map(|person| app.press(person))).await;
        answers.into_iter().for_each(|answer| drop(answer.expect(201)));
        world.call_back(&ada, "qualified").await;
        let result = until_shown(&world, &ada, "Complete").await;
        assert!(result <= RESULT, "{result:?}");
        let shown = || crowd.iter().filter(|person| world.attio.status(&person.record_id).is_some()).count();
        assert!(shown() < crowd.len(), "the crowd is through already: nothing stood before the result");
        takes(&world, "the crowd is shown", async || shown() == crowd.len()).await;
    }
}

const WORKSPACES: usize = 45;
const LEADS_OF_EACH: usize = 4;

/// So many other workspaces with so many leads each, pending and shown as `like`'s is now, due in five minutes. While
/// no replica runs.
async fn other_workspaces(world: &World, like: &Person) {
    let lifecycle = Lifecycle::new();
    let store = open(world, &lifecycle).await;
    let ours = Tenant::new(world.attio.workspace_id());
    let keys = [Key::workspace(), Key::new(Kind::Lead, &like.record_id)];
    let found = store.load(&ours, &keys, &[], world.now()).await.expect("the store answers").documents;
    let [workspace, lead] = found.try_into().expect("both");
    let (workspace, lead) = (workspace.expect("a workspace").body, lead.expect("a lead").body);
    let put = |key: Key, body: String, status: &'static str, due| {
        let lease = LeaseChange::Leave { due };
        let (status, created_at) = (status.into(), world.now());
        let change = Change::Put { body, status, created_at, lease, urgent: false, expires_at: None };
        Write { key, expected: None, change }
    };
    for _ in 0..WORKSPACES {
        let mut commit = Commit::of(vec![put(Key::workspace(), workspace.clone(), "connected", None)]);
        for _ in 0..LEADS_OF_EACH {
            let record = random_uuid().to_string();
            let body = lead.replace(&like.record_id, &record);
            let due = Some(world.now() + SignedDuration::from_mins(5));
            commit.writes.push(put(Key::new(Kind::Lead, record), body, "pending", due));
        }
        let committed = store.commit(&Tenant::new(random_uuid()), &commit, world.now()).await;
        assert!(matches!(committed, Ok(Committed::Done(_))));
    }
    lifecycle.stop();
    store.close().await;
}

/// A world with two leads of ours, both Pending, of which the second will not be asked for at ALC for a while; and with
/// other workspaces' leads, which are to be asked for within six minutes.
async fn beside_other_workspaces(setup: Setup) -> (World, AttioApp, Person) {
    let setup = setup.with("ALC__POLL_AFTER", "10m").with("RETRY__SCHEDULE", "30m");
    let (mut world, app) = setup.connected().await;
    let replicas = world.replicas().len();
    let (like, ada) = (world.person(), world.person());
    app.press(&like).await.expect(201);
    world.shows(&like, "Pending").await;
    world.pass(8 * MINUTE).await;
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.stop().await;
    other_workspaces(&world, &like).await;
    for _ in 0..replicas {
        world.start_replica().await;
    }
    (world, app, ada)
}

scenario! {
    async fn an_alc_that_hangs_leaves_workers_to_results_and_answers_to_presses(setup: Setup) {
        let (world, app, ada) = beside_other_workspaces(setup.with("ALC__TIMEOUT", "12s")).await;
        let asked = world.alc.faults().hold("get_lead", Stage::Before);
        let sent = world.alc.faults().hold("create_lead", Stage::Before);
        world.pass(6 * MINUTE).await;
        asked.reached(32 * world.replicas().len()).await;
        world.call_back(&ada, "qualified").await;
        let result = until_shown(&world, &ada, "Complete").await;
        assert!(result <= RESULT, "{result:?}");
        world.while_time_passes(app.press(&world.person())).await.expect(202);
        asked.release();
        sent.release();
    }
}

scenario! {
    async fn an_alc_that_answers_no_workspace_is_left_in_peace_until_it_does(setup: Setup) {
        let (world, app, _) = beside_other_workspaces(setup).await;
        let (replicas, all) = (world.replicas().len(), WORKSPACES * LEADS_OF_EACH);
        world.alc.faults().always("get_lead", Fault::status(503));
        world.alc.faults().always("create_lead", Fault::status(503));
        let asked = || world.alc.journal().count("get_lead");
        world.pass(6 * MINUTE).await;
        world.alc.journal().wait_for("get_lead", 5).await;
        world.pass(Duration::from_secs(1)).await;
        // Those that were under way when the fifth failed, and none after them.
        let first = asked();
        assert!((5..=40 * replicas).contains(&first), "{first}");
        // A press does not wait for an ALC that is known to be down, and is no call either.
        let before = world.alc.journal().count("create_lead");
        let bob = world.person();
        for person in [&bob, &world.person(), &world.person(), &world.person()] {
            app.press(person).await.expect(202);
        }
        assert!(world.alc.journal().count("create_lead") <= before + 1, "at most the probe");
        for _ in 0..60 {
            world.pass(Duration::from_secs(1)).await;
        }
        // A look-up or one of the presses: whichever comes first is the probe.
        let probes = asked() - first + world.alc.journal().count("create_lead") - before;
        assert!((1..=8 * replicas + 1).contains(&probes), "{probes} probes in a minute");
        world.alc.faults().clear("get_lead");
        world.alc.faults().clear("create_lead");
        world.pass_until("all have been asked for", Duration::from_secs(1), 5 * MINUTE, async || asked() >= all).await;
        world.pass_until("the press is sent", MINUTE, 60 * MINUTE, async || {
            world.attio.status(&bob.record_id).as_deref() == Some("Pending")
        })
        .await;
    }
}
