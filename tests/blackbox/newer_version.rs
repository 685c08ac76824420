//! A newer version works beside this one: what only that knows is left alone, and breaks nothing else.

use std::time::Duration;

use alc_connector::{
    clock::Timestamp,
    lifecycle::Lifecycle,
    store::{Change, Commit, Committed, Document, Key, Kind, LeaseChange, Tenant, Write},
};
use sandbox::Callback;
use serde_json::{Value, json};

use crate::support::{
    harness::{MINUTE, Person, Setup, World, scenario},
    http::send,
    stored,
};

/// As [`rewrite`], of a lead.
async fn rewrite_lead(world: &mut World, person: &Person, change: impl FnOnce(&mut Value)) -> Document {
    rewrite(world, Key::new(Kind::Lead, &person.record_id), |body| body["send"]["status"].clone(), change).await
}

/// Stops the service, rewrites a document as another version would, under the label that it would give it and due at
/// once, starts the service again, and returns the document as it was.
pub(crate) async fn rewrite(
    world: &mut World,
    key: Key,
    label: impl FnOnce(&Value) -> Value,
    change: impl FnOnce(&mut Value),
) -> Document {
    let due = Some(world.now());
    rewrite_due(world, key, due, label, change).await
}

/// As [`rewrite`], due then.
pub(crate) async fn rewrite_due(
    world: &mut World,
    key: Key,
    due: Option<Timestamp>,
    label: impl FnOnce(&Value) -> Value,
    change: impl FnOnce(&mut Value),
) -> Document {
    let replicas = world.replicas().len();
    world.stop().await;
    let lifecycle = Lifecycle::new();
    let store = stored::open(world, &lifecycle).await;
    let tenant = Tenant::new(world.attio.workspace_id());
    let loaded = store.load(&tenant, std::slice::from_ref(&key), &[], world.now()).await.expect("the store answers");
    let before = loaded.documents.into_iter().next().flatten().expect("a document");
    let mut body: Value = serde_json::from_str(&before.body).expect("JSON");
    change(&mut body);
    let change = Change::Put {
        status: label(&body).as_str().expect("a label").to_owned().into(),
        body: body.to_string(),
        created_at: before.created_at,
        lease: LeaseChange::Leave { due },
        urgent: false,
        expires_at: None,
    };
    let commit = Commit::of(vec![Write { key, expected: Some(before.version), change }]);
    assert!(matches!(store.commit(&tenant, &commit, world.now()).await, Ok(Committed::Done(_))));
    lifecycle.stop();
    store.close().await;
    for _ in 0..replicas {
        world.start_replica().await;
    }
    before
}

scenario! {
    async fn a_status_of_a_newer_version_is_left_alone_and_breaks_no_page(setup: Setup) {
        let (mut world, app) = setup.with("ALC__POLL_AFTER", "0s").connected().await;
        let (ada, bob) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        app.press(&bob).await.expect(201);
        world.synced(&app, &bob).await;
        rewrite_lead(&mut world, &ada, |lead| lead["send"]["status"] = json!("paused")).await;
        world.pass_slowly(MINUTE, 12).await;
        let page = app.leads("").await.expect(200).json();
        assert_eq!(page["leads"].as_array().map(Vec::len), Some(1), "{page}");
        assert_eq!(page["leads"][0]["record_id"], bob.record_id.as_str());
        send(world.client.get(format!("http://{}/metrics", world.replicas()[0].management))).await.expect(200);
        // The newer version goes on with it.
        let last = rewrite_lead(&mut world, &ada, |lead| lead["send"]["status"] = json!("pending")).await;
        let body: Value = serde_json::from_str(&last.body).expect("JSON");
        assert_eq!(body["send"]["status"], "paused", "nothing of it was guessed at");
        assert!(last.lease.is_none() && last.due > Some(world.now()), "looked at again in some minutes: {last:?}");
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.pass(Duration::from_secs(1)).await;
    }
}

scenario! {
    async fn a_connection_of_a_newer_version_waits_for_that(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        for (place, newer) in [("/connections/0/phase", "suspended"), ("/webhooks/0/state", "resting")] {
            let mut before = Value::Null;
            let label = |_: &Value| json!("connected");
            rewrite(&mut world, Key::workspace(), label, |body| {
                before = body.pointer(place).expect(place).clone();
                *body.pointer_mut(place).expect(place) = json!(newer);
            })
            .await;
            world.pass_slowly(Duration::from_secs(10), 6).await;
            // The caller is told to come back, and nothing that would make it throw its token away.
            let bob = world.person();
            for answer in [app.connection().await, app.lead(&ada).await, app.press(&bob).await, app.refresh().await] {
                assert_eq!(answer.status, 503, "{place}: {answer:?}");
            }
            world.tell(Callback::new(&ada.record_id, "qualified"), 503).await;
            let last = rewrite(&mut world, Key::workspace(), label, |body| {
                *body.pointer_mut(place).expect(place) = before.clone();
            })
            .await;
            let body: Value = serde_json::from_str(&last.body).expect("JSON");
            assert_eq!(body.pointer(place), Some(&json!(newer)), "nothing of it was guessed at");
            assert!(last.lease.is_none(), "nobody works on it: {last:?}");
            assert_eq!(app.connection().await.expect(200).json()["status"], "connected", "the newer version goes on");
        }
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}
