//! A newer version works beside this one: what only that knows is left alone, and breaks nothing else.

use std::time::Duration;

use alc_connector::{
    lifecycle::Lifecycle,
    store::{self, Change, Commit, Committed, Document, Key, Kind, LeaseChange, Tenant, Write},
};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::{
    harness::{MINUTE, Person, Setup, World, scenario},
    http::send,
};

/// Stops the service, rewrites a lead's document as another version would, starts the service again, and returns the
/// document as it was.
async fn rewrite(world: &mut World, person: &Person, change: impl FnOnce(&mut Value)) -> Document {
    let replicas = world.replicas().len();
    world.stop().await;
    let lifecycle = Lifecycle::new();
    let url = world.settings.variables().find(|(name, _)| name.ends_with("STORE__URL")).expect("a store").1;
    let store = store::open(&SecretString::from(url), "alc", &lifecycle).await.expect("the store opens");
    let tenant = Tenant::new(world.attio.workspace_id());
    let key = Key::new(Kind::Lead, &person.record_id);
    let loaded = store.load(&tenant, std::slice::from_ref(&key), &[], world.now()).await.expect("the store answers");
    let before = loaded.documents.into_iter().next().flatten().expect("a lead");
    let mut body: Value = serde_json::from_str(&before.body).expect("JSON");
    change(&mut body);
    let change = Change::Put {
        status: body["send"]["status"].as_str().expect("a status").to_owned().into(),
        body: body.to_string(),
        created_at: before.created_at,
        lease: LeaseChange::Leave { due: Some(world.now()) },
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
        rewrite(&mut world, &ada, |lead| lead["send"]["status"] = json!("paused")).await;
        world.pass_slowly(MINUTE, 12).await;
        let page = app.leads("").await.expect(200).json();
        assert_eq!(page["leads"].as_array().map(Vec::len), Some(1), "{page}");
        assert_eq!(page["leads"][0]["record_id"], bob.record_id.as_str());
        send(world.client.get(format!("http://{}/metrics", world.replicas()[0].management))).await.expect(200);
        // The newer version goes on with it.
        let last = rewrite(&mut world, &ada, |lead| lead["send"]["status"] = json!("pending")).await;
        let body: Value = serde_json::from_str(&last.body).expect("JSON");
        assert_eq!(body["send"]["status"], "paused", "nothing of it was guessed at");
        assert!(last.lease.is_none() && last.due > Some(world.now()), "looked at again in some minutes: {last:?}");
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.pass(Duration::from_secs(1)).await;
    }
}
