//! One workspace's crowd does not keep another's single lead waiting.

use std::time::Duration;

use alc_connector::{
    ids::random_uuid,
    lifecycle::Lifecycle,
    store::{self, Change, Commit, Committed, Key, Kind, LeaseChange, Store, Tenant, Write},
};
use secrecy::SecretString;

use crate::support::{
    ambient::{PATIENCE, Stopwatch},
    harness::{Person, Setup, World, scenario},
};

/// How many wait, in commits of a tenth of a thousand.
const COMMITS: usize = 100;
const A_COMMIT: usize = 100;

async fn open(world: &World, lifecycle: &Lifecycle) -> Store {
    let url = world.settings.variables().find(|(name, _)| name.ends_with("STORE__URL")).expect("a store").1;
    store::open(&SecretString::from(url), "alc", lifecycle).await.expect("the store opens")
}

fn put(key: Key, body: String, status: &'static str, now: jiff::Timestamp, due: Option<jiff::Timestamp>) -> Write {
    let change = Change::Put { body, status, created_at: now, lease: LeaseChange::Leave { due }, expires_at: None };
    Write { key, expected: None, change }
}

/// Ten thousand pending leads of another workspace, all due, none shown in Attio: as `like`'s lead is now.
async fn crowd(world: &World, like: &Person) {
    let lifecycle = Lifecycle::new();
    let store = open(world, &lifecycle).await;
    let (ours, theirs) = (Tenant::new(world.attio.workspace_id()), Tenant::new(random_uuid()));
    let keys = [Key::workspace(), Key::new(Kind::Lead, &like.record_id)];
    let loaded = store.load(&ours, &keys, &[], world.now()).await.expect("the store answers");
    let [workspace, lead] = loaded.documents.try_into().expect("both");
    let (workspace, lead) = (workspace.expect("a workspace").body, lead.expect("a lead").body);
    let founding = Commit::of(vec![put(Key::workspace(), workspace, "connected", world.now(), None)]);
    assert!(matches!(store.commit(&theirs, &founding, world.now()).await, Ok(Committed::Done(_))));
    for _ in 0..COMMITS {
        let leads = (0..A_COMMIT).map(|_| {
            let record = random_uuid().to_string();
            let body = lead.replace(&like.record_id, &record);
            put(Key::new(Kind::Lead, record), body, "pending", world.now(), Some(world.now()))
        });
        let commit = Commit::of(leads.collect());
        assert!(matches!(store.commit(&theirs, &commit, world.now()).await, Ok(Committed::Done(_))));
    }
    lifecycle.stop();
    store.close().await;
}

/// From ALC's result to Attio's record, in real time.
async fn time_to_complete(world: &World, person: &Person) -> Duration {
    world.pass(Duration::from_secs(1));
    let watch = Stopwatch::start();
    world.call_back(person, "qualified").await;
    while world.attio.status(&person.record_id).as_deref() != Some("Complete") {
        assert!(watch.elapsed() < PATIENCE, "never complete beside the crowd");
        // Writes of one workspace keep a distance.
        world.pass(Duration::from_millis(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    watch.elapsed()
}

scenario! {
    async fn ten_thousand_leads_of_another_workspace_delay_one_by_less_than_a_second(setup: Setup) {
        let (mut world, app) = setup.with("ALC__POLL_AFTER", "0s").connected().await;
        let (replicas, mut singles) = (world.replicas().len(), Vec::new());
        for _ in 0..5 {
            let person = world.person();
            app.press(&person).await.expect(201);
            world.shows(&person, "Pending").await;
            singles.push(person);
        }
        // Time stands still: the second of these waits for its turn at Attio.
        let (first, like) = (world.person(), world.person());
        app.press(&first).await.expect(201);
        app.press(&like).await.expect(201);
        world.stop().await;
        crowd(&world, &like).await;
        for _ in 0..replicas {
            world.start_replica().await;
        }
        let mut times = Vec::new();
        for single in &singles {
            times.push(time_to_complete(&world, single).await);
        }
        // The best of some: what else the machine does is not the crowd's doing.
        let best = times.iter().min().expect("five");
        assert!(*best < Duration::from_secs(1), "{times:?}");
        let writes = world.attio.journal().count("patch_record");
        assert!(writes < 1000, "the crowd was still waiting: {writes} writes");
    }
}
