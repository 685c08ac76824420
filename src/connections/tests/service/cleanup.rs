//! What is cleaned up, under whose tokens, and what of it only looks like rubbish.

use std::sync::mpsc;

use super::*;

#[tokio::test]
async fn a_creation_that_alc_ends_late_is_deleted_and_the_next_is_another_webhook() {
    let mut world = World::new().await;
    let (lost, _lost) = world.alc_registers(500, Some("whsec_bG9zdA==")).await;
    let listed = Hooks::default();
    world.alc_lists(&listed).await;
    let (made, _made) = world.alc_registers(201, Some("whsec_c2VjcmV0")).await;
    world.connect(tokens("a1", None)).await;
    assert_ne!(hook(&lost, 0)["name"], hook(&made, 0)["name"]);
    assert_ne!(hook(&lost, 0)["url"], hook(&made, 0)["url"]);
    world.reconcile().await;
    // Only now ALC has made the first one too.
    for hook in [hook(&made, 0), hook(&lost, 0)] {
        listed.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
    }
    let kept = world.server.mock("DELETE", "/api/v1/webhooks/h1").expect(0).create_async().await;
    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h2").with_status(204).create_async().await;
    world.clock.advance(Duration::from_secs(50));
    world.reconcile().await;
    deleted.assert_async().await;
    kept.assert_async().await;
    let workspace = world.load().await.expect("there").value;
    let webhook = workspace.webhook_by_secret(&url_secret(&hook(&made, 0))).expect("answers");
    assert_eq!(workspace.sending_webhook(), Some(webhook.id));
    let secret = world.connections().webhook_secret(&workspace, webhook).expect("opens").known().expect("known");
    assert_eq!(secret.expose_secret(), "whsec_c2VjcmV0");
}

#[tokio::test]
async fn a_webhook_whose_maker_left_meanwhile_is_deleted_where_nothing_is_listed() {
    let mut world = World::new().await;
    world.server.mock("GET", "/api/v1/webhooks").with_status(404).create_async().await;
    let (arrived, mut arrival) = tokio::sync::mpsc::unbounded_channel();
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let slow = world.server.mock("POST", "/api/v1/webhooks").with_status(201).with_body_from_request(move |_| {
        arrived.send(()).expect("the test waits");
        let _ = held.lock().unwrap_or_else(PoisonError::into_inner).recv();
        br#"{"webhook_id": "h1"}"#.to_vec()
    });
    slow.create_async().await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let connections = world.connections();
    // The pretend ALC does one thing at a time: that it lists nothing is learnt before.
    connections.alc.list_webhooks(&"a1".into()).await.expect_err("it lists nothing");
    let (this, workspace) = (connections.clone(), world.workspace);
    let added = world
        .lifecycle
        .spawn(async move { this.connection_added(workspace, connection, "workspace", &workspace.to_string()).await });
    arrival.recv().await.expect("ALC is asked");
    connections.remove(world.workspace, connection).await.expect("removes");
    world.reconcile_by(&connections).await;
    release.send(()).expect("ALC waits");
    let told = added.await.expect("ends");
    assert!(matches!(told, Err(ConnectError::Leaving)), "{told:?}");
    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(204).create_async().await;
    let revoked = world.server.mock("POST", "/oauth/revoke").create_async().await;
    for _ in 0..4 {
        world.clock.advance(Duration::from_secs(10));
        world.reconcile_by(&connections).await;
    }
    deleted.assert_async().await;
    revoked.assert_async().await;
    assert!(world.load().await.is_none(), "nothing is left");
}

#[tokio::test]
async fn a_grant_is_not_revoked_while_another_needs_it_to_clean_up() {
    let mut world = World::new().await;
    let (_hooks, _registered) = world.alc_registers(201, None).await;
    world.connect(tokens("a1", Some("shared"))).await;
    world.connect(tokens("a2", Some("shared"))).await;
    world.connect(tokens("a3", Some("own"))).await;
    world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(204).create_async().await;
    let away = world.server.mock("DELETE", "/api/v1/webhooks/h2").with_status(503).expect_at_least(1);
    let away = away.create_async().await;
    let revoked = world.server.mock("POST", "/oauth/revoke").expect(2).create_async().await;
    world.reconcile().await;
    world.clock.advance(UNDER_WAY);
    world.reconcile().await;
    away.assert_async().await;
    assert!(!revoked.matched_async().await && world.load().await.expect("there").value.connections.len() == 2);
    away.remove_async().await;
    world.server.mock("DELETE", "/api/v1/webhooks/h2").with_status(204).create_async().await;
    world.clock.advance(2 * UNDER_WAY);
    world.reconcile().await;
    revoked.assert_async().await;
    assert_eq!(world.load().await.expect("there").value.connections.len(), 1);
}

#[tokio::test]
async fn a_dead_predecessors_webhook_says_nothing_about_who_cleans_it_up() {
    let mut world = World::new().await;
    let (hooks, _registered) = world.alc_registers(201, None).await;
    world.connect(tokens("a1", None)).await;
    let connections = world.connections();
    let (grant, _) = connections.alc_grant(&world.tenant, &world.load().await.expect("there")).await.expect("a1");
    world.refuses_until_dead(&grant).await;
    let second = world.connect(tokens("b1", None)).await;
    let refused = world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(401).expect(3).create_async().await;
    for _ in 0..3 {
        world.reconcile().await;
        world.clock.advance(Duration::from_secs(40));
    }
    refused.assert_async().await;
    assert_eq!(world.standing(second).await, Standing::Current);
    let workspace = world.load().await.expect("there").value;
    assert!(workspace.webhook_by_secret(&url_secret(&hook(&hooks, 0))).is_none(), "its URL answers 410");
}

#[tokio::test]
async fn a_webhook_that_alc_made_into_the_new_one_is_not_deleted() {
    let mut world = World::new().await;
    let upserted = world.server.mock("POST", "/api/v1/webhooks").with_status(201);
    upserted.with_body(r#"{"webhook_id": "h1"}"#).expect(2).create_async().await;
    world.connect(tokens("a1", None)).await;
    world.connect(tokens("a2", None)).await;
    let kept = world.server.mock("DELETE", "/api/v1/webhooks/h1").expect(0).create_async().await;
    world.reconcile().await;
    kept.assert_async().await;
    let workspace = world.load().await.expect("there").value;
    assert_eq!(
        workspace.webhooks.iter().map(|it| it.id).collect::<Vec<_>>(),
        [workspace.sending_webhook().expect("one")]
    );
    // With the last of them it goes.
    let id = workspace.current().expect("connected").id;
    world.connections().remove(world.workspace, id).await.expect("removes");
    kept.remove_async().await;
    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(204).create_async().await;
    world.reconcile().await;
    deleted.assert_async().await;
}

#[tokio::test]
async fn a_crash_while_connecting_is_undone() {
    let mut world = World::new().await;
    let (hooks, _) = world.alc_registers(201, None).await;
    world.alc_lists(&hooks).await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    // The crash: the intent is stored and the webhook made, but the task that would record it is gone.
    let connections = world.connections();
    let now = world.clock.now();
    let claim = Claim::new(crate::ids::random_uuid(), now + Duration::from_secs(50));
    let token = OpaqueToken::new(world.workspace);
    let webhook = Webhook::intended(WebhookId::random(), connection, token.hash(), now);
    connections
        .update(&world.tenant, |workspace, now| {
            let workspace = workspace.expect("there");
            assert!(workspace.claim_connecting(connection, claim.clone(), now));
            assert!(workspace.intend_webhook(Side::Alc, webhook.clone(), claim.owner));
            Edit::Write(())
        })
        .await
        .expect("commits");
    hooks.lock().unwrap_or_else(PoisonError::into_inner).push(json!({"name": webhook.name()}));
    world.reconcile().await;
    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").create_async().await;
    world.clock.advance(Duration::from_secs(50));
    world.reconcile().await;
    deleted.assert_async().await;
    assert_eq!(world.standing(connection).await, Standing::Incoming);
}

#[tokio::test]
async fn attio_limiting_our_clean_up_keeps_every_writer_waiting() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    let made = json!({"data": {"id": {"webhook_id": "w1"}, "secret": "s"}});
    world.server.mock("POST", "/v2/webhooks").with_body(made.to_string()).create_async().await;
    let connection = world.connect(tokens("a1", None)).await;
    world.reconcile().await;
    world.connections().remove(world.workspace, connection).await.expect("removes");
    world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(204).create_async().await;
    let limiting = world.server.mock("DELETE", "/v2/webhooks/w1").with_status(429).with_header("retry-after", "20");
    let limiting = limiting.create_async().await;
    world.reconcile().await;
    limiting.assert_async().await;
    let gate = Gate { upstream: "attio", per_second: Some(25), ahead: false };
    let turn = world.store.reserve(&world.tenant, &gate, None, world.clock.now()).await.expect("reserves");
    let GateVerdict::At(slot) = turn else { panic!("{turn:?}") };
    assert!(slot >= world.clock.now() + Duration::from_secs(20), "{slot}");
}

#[tokio::test]
async fn a_kind_of_token_that_alc_does_not_revoke_keeps_nothing_waiting() {
    let mut world = World::new().await;
    let (_hooks, _registered) = world.alc_registers(201, None).await;
    let connection = world.connect(tokens("a1", Some("r1"))).await;
    let body = r#"{"error": "unsupported_token_type"}"#;
    let asked =
        world.server.mock("POST", "/oauth/revoke").with_status(400).with_body(body).expect(2).create_async().await;
    world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(204).create_async().await;
    world.connections().remove(world.workspace, connection).await.expect("removes");
    for _ in 0..4 {
        world.clock.advance(UNDER_WAY);
        world.reconcile().await;
    }
    asked.assert_async().await;
    assert!(world.load().await.expect("remembered").value.connections.is_empty(), "the connection is gone");
}
