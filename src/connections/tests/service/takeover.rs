//! One workspace, one connection: a newer one takes over, another workspace is refused, and a connect ends in time.

use super::*;

#[tokio::test]
async fn who_connects_again_takes_over_and_the_old_webhook_answers_for_its_leads() {
    let mut world = World::new().await;
    let (hooks, _registered) = world.alc_registers(201, None).await;
    let first = world.connect(tokens("a1", Some("shared"))).await;
    let old = world.load().await.expect("there").value.sending_webhook().expect("one");
    let record = RecordId::random();
    world.put_lead(record, "pending", old).await;
    world.reconcile().await;

    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").create_async().await;
    let revoked = world.server.mock("POST", "/oauth/revoke").expect(0).create_async().await;
    let second = world.connect(tokens("a2", Some("shared"))).await;
    assert_eq!(world.standing(first).await, Standing::Replaced);
    world.reconcile().await;
    deleted.assert_async().await;
    revoked.assert_async().await;
    let workspace = world.load().await.expect("there").value;
    assert!(workspace.connection(first).is_none(), "erased, and still known as replaced");
    let told = world.connections().view(world.workspace, first).await.expect("loads");
    assert_eq!(told, Err(Standing::Replaced));
    assert_eq!(workspace.current().map(|it| it.id), Some(second));
    assert!(workspace.disconnected_at.is_none());
    let secret = url_secret(&hook(&hooks, 0));
    assert_eq!(workspace.webhook_by_secret(&secret).map(|it| it.id), Some(old), "its lead is unfinished");

    world.put_lead(record, "complete", old).await;
    world.tokens_answer(200, json!({"access_token": "a3", "token_type": "bearer"})).await;
    world.clock.advance(HOUR);
    world.reconcile().await;
    assert!(world.load().await.expect("there").value.webhook_by_secret(&secret).is_none());
}

#[tokio::test]
async fn a_second_workspace_is_refused_while_the_first_is_connected() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    world.connect(tokens("a1", None)).await;
    let refused = world.connections().may_connect(WorkspaceId::random()).await;
    assert!(matches!(refused, Err(MayNotConnect::OtherWorkspace)));
    world.connections().may_connect(world.workspace).await.expect("the same one may");
}

#[tokio::test]
async fn twenty_seconds_are_all_there_is() {
    let mut world = World::new().await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let clock = world.clock.clone();
    // ALC takes its time: the clock moves while it answers.
    let late = world.server.mock("POST", "/api/v1/webhooks").with_status(201).with_body_from_request(move |_| {
        clock.advance(Duration::from_secs(21));
        br#"{"webhook_id": "h1"}"#.to_vec()
    });
    late.create_async().await;
    assert!(matches!(world.added(connection).await, Err(ConnectError::Timeout)));
    world.lifecycle.stop();
    assert!(world.lifecycle.drained(Duration::from_secs(10)).await, "the attempt ends by itself");
    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").create_async().await;
    world.reconcile().await;
    deleted.assert_async().await;
    assert_eq!(world.standing(connection).await, Standing::Incoming);
}
