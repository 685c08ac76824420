//! One workspace's crowd does not keep another's single lead waiting.
//!
//! How: up to ten thousand leads of a second workspace, due soon, are written straight into the store while the
//! replicas are down. After their start, a lead of the first workspace that is due as well has to be sent soon, and few
//! of the crowd may have gone before it.

use std::time::Duration;

use alc_connector::{
    ids::random_uuid,
    lifecycle::Lifecycle,
    store::{Change, Commit, Committed, Key, Kind, LeaseChange, Tenant, Write},
};
use jiff::SignedDuration;
use sandbox::{Fault, Stage};

use crate::support::{
    ambient::Stopwatch,
    harness::{MINUTE, Person, Setup, World, scenario},
    stored::open,
};

/// How many wait, in commits of a tenth of a thousand.
const COMMITS: usize = 100;
const A_COMMIT: usize = 100;

fn put(key: Key, body: String, status: &'static str, now: jiff::Timestamp, due: Option<jiff::Timestamp>) -> Write {
    let change = Change::Put {
        body,
        status: status.into(),
        created_at: now,
        lease: LeaseChange::Leave { due },
        urgent: false,
        expires_at: None,
    };
    Write { key, expected: None, change }
}

/// So many hundred pending leads of another workspace, due soon, none shown in Attio: as `like`'s lead is now.
async fn crowd(world: &World, like: &Person, commits: usize) -> Tenant {
    let lifecycle = Lifecycle::new();
    let store = open(world, &lifecycle).await;
    let (ours, theirs) = (Tenant::new(world.attio.workspace_id()), Tenant::new(random_uuid()));
    let keys = [Key::workspace(), Key::new(Kind::Lead, &like.record_id)];
    let loaded = store.load(&ours, &keys, &[], world.now()).await.expect("the store answers");
    let [workspace, lead] = loaded.documents.try_into().expect("both");
    let (workspace, lead) = (workspace.expect("a workspace").body, lead.expect("a lead").body);
    let founding = Commit::of(vec![put(Key::workspace(), workspace, "connected", world.now(), None)]);
    assert!(matches!(store.commit(&theirs, &founding, world.now()).await, Ok(Committed::Done(_))));
    for _ in 0..commits {
        let leads = (0..A_COMMIT).map(|_| {
            let record = random_uuid().to_string();
            let body = lead.replace(&like.record_id, &record);
            put(
                Key::new(Kind::Lead, record),
                body,
                "pending",
                world.now(),
                Some(world.now() + SignedDuration::from_mins(5)),
            )
        });
        let commit = Commit::of(leads.collect());
        assert!(matches!(store.commit(&theirs, &commit, world.now()).await, Ok(Committed::Done(_))));
    }
    lifecycle.stop();
    store.close().await;
    theirs
}

/// How many of the crowd were worked on.
async fn touched(world: &World, theirs: &Tenant) -> usize {
    let lifecycle = Lifecycle::new();
    let store = open(world, &lifecycle).await;
    let (mut count, mut cursor) = (0, None);
    loop {
        let page = store
            .page(theirs, &["queued", "pending", "complete", "failed"], cursor.as_ref(), 500)
            .await
            .expect("the store answers");
        // The upper half of a version counts the commits.
        count += page.documents.iter().filter(|(_, lead)| lead.version >> 32 > 1 || lead.lease.is_some()).count();
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    lifecycle.stop();
    store.close().await;
    count
}

/// How many of the crowd went before the single lead at most, and how long that took.
async fn delay(setup: Setup) -> (usize, Duration) {
    let setup = setup.impatient().with("ALC__POLL_AFTER", "0s").with("RETRY__SCHEDULE", "10m");
    let (mut world, app) = setup.connected().await;
    let replicas = world.replicas().len();
    // These wait for another attempt at ALC, which is the reconciler's to make.
    world.alc.faults().always("create_lead", Fault::status(503));
    for _ in 0..3 {
        let person = world.person();
        world.while_time_passes(app.press(&person)).await.expect(202);
    }
    world.alc.faults().clear("create_lead");
    // Time stands still: the second of these waits for its turn at Attio.
    let (first, like) = (world.person(), world.person());
    app.press(&first).await.expect(201);
    app.press(&like).await.expect(201);
    world.stop().await;
    let theirs = crowd(&world, &like, COMMITS).await;
    for _ in 0..replicas {
        world.start_replica().await;
    }
    // Of ours nothing is left that is due before the crowd. A replica that does not know yet whose Attio's key is looks
    // again in a second.
    let shown = async || world.attio.journal().count("patch_record") >= 2;
    world.pass_until("the second is shown", Duration::from_secs(1), MINUTE, shown).await;
    world.attio.journal().wait_answered("patch_record", 2).await;
    let before = world.alc.journal().count("create_lead");
    world.pass(MINUTE * 15).await;
    let watch = Stopwatch::start();
    world.alc.journal().wait_for("create_lead", before + 1).await;
    let passed = watch.elapsed();
    // And what no other work of the machine can change: how many went first, at most, since the stop takes a while.
    world.stop().await;
    (touched(&world, &theirs).await, passed)
}

scenario! {
    async fn ten_thousand_leads_of_another_workspace_delay_one_by_less_than_a_second(setup: Setup) {
        // A disk, or a processor that other work keeps busy, may stand still for a second at that very moment, once.
        for is_last in [false, true] {
            let (ahead, passed) = delay(setup.clone()).await;
            assert!(ahead < 500, "{ahead} of the crowd went first");
            if passed < Duration::from_secs(1) {
                return;
            }
            assert!(!is_last, "{ahead} of the crowd went first, in {passed:?}");
        }
    }
}

scenario! {
    async fn a_workspace_whose_calls_hang_leaves_workers_to_another(setup: Setup) {
        let setup = setup.impatient().with("ALC__TIMEOUT", "12s").with("ALC__POLL_AFTER", "10m").with("RETRY__SCHEDULE", "30m");
        let (mut world, app) = setup.connected().await;
        let replicas = world.replicas().len();
        let (like, ada) = (world.person(), world.person());
        app.press(&like).await.expect(201);
        world.alc.faults().next("create_lead", Fault::status(503));
        world.while_time_passes(app.press(&ada)).await.expect(202);
        world.stop().await;
        crowd(&world, &like, 1).await;
        for _ in 0..replicas {
            world.start_replica().await;
        }
        let hanging = world.alc.faults().hold("get_lead", Stage::Before);
        world.pass(MINUTE * 12).await;
        hanging.reached(8).await;
        let before = world.alc.journal().count("create_lead");
        world.pass(MINUTE * 30).await;
        world.alc.journal().wait_for("create_lead", before + 1).await;
        // A quarter of the workers, and the other workspace's own, perhaps once more by the worker that takes its lease
        // over.
        let asked = world.alc.journal().count("get_lead");
        assert!(asked <= 8 * replicas + 2 * replicas, "{asked} wait for an answer");
        hanging.release();
    }
}
