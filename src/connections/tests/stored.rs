//! What is stored survives a rewrite by a version that does not know all of it.

use serde_json::{Value, json};

use crate::{
    clock::{from_micros, later},
    connections::{
        Connection, Webhook, Workspace,
        workspace::{
            claim::Claim,
            code::Code,
            grant::{AttioGrant, FreshTokens},
            schema::{Found, SchemaProblem},
            side::Side,
        },
    },
    ids::{ConnectionId, ListId, OpaqueToken, WebhookId, WorkspaceId, random_uuid},
    sealing::Sealed,
    store::{decode, encode, with_unknown_members},
};

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

/// A workspace with something in every place where a workspace can have something: one connection that was replaced,
/// one that is current, one that is connecting.
fn full() -> Workspace {
    let now = from_micros(1_700_000_000_000_000);
    let sealed = || Sealed::from_text("sealed");
    let claim = || Claim::new(random_uuid(), later(now, MINUTE));
    let hash = || OpaqueToken::new("w").hash();
    let connection = || {
        let tokens = FreshTokens { access: sealed(), refresh: Some(sealed()), lifetime: MINUTE, requested_at: now };
        let code = Code::new(&OpaqueToken::new("w"), "https://app".to_owned(), Some("challenge".to_owned()), now);
        Connection::incoming(ConnectionId::random(), tokens, Some(AttioGrant::new(sealed())), code, 0.5, now)
    };
    let mut workspace = Workspace::new(WorkspaceId::random(), now);
    for _ in 0..3 {
        let connection = connection();
        let (id, claim) = (connection.id, claim());
        workspace.opened(connection, now);
        workspace.redeemed(id, hash());
        assert!(workspace.claim_connecting(id, claim.clone(), now));
        for side in Side::BOTH {
            let webhook = Webhook::intended(WebhookId::random(), id, hash(), now);
            let webhook_id = webhook.id;
            assert!(workspace.intend_webhook(side, webhook, claim.owner));
            workspace.webhook_registered(side, webhook_id, Some("upstream".to_owned()), Some(sealed()), now);
        }
        if workspace.connections.len() < 3 {
            assert!(workspace.connected(id, claim.owner, now));
            assert!(workspace.claim_refresh(id, Claim::new(random_uuid(), later(now, MINUTE)), now));
        }
    }
    let connections: Vec<_> = workspace.connections.iter().map(|it| it.id).collect();
    for side in Side::BOTH {
        connections.iter().for_each(|id| workspace.revoke_postponed(side, *id, later(now, MINUTE)));
        let webhooks: Vec<_> = workspace.webhooks(side).iter().map(|it| it.id).collect();
        webhooks.iter().for_each(|id| workspace.webhook_postponed(side, *id, later(now, MINUTE)));
    }
    let current = workspace.current().expect("connected").id;
    workspace.access_refused(current, 1, now);
    workspace.refresh_denied(current, 1, random_uuid(), now, now);
    workspace.put_trigger("activation", sealed(), now).expect("room");
    let found = Found {
        problems: vec![SchemaProblem::of_attribute("alc_status", "is archived".to_owned())],
        list: Some(("to-alc".to_owned(), Some(ListId::random()))),
        sent_by: vec!["name".to_owned()],
    };
    workspace.schema_checked(&found, now);
    workspace.disconnected_at = Some(now);
    assert!(workspace.remember_what_is_owed(MINUTE, now));
    workspace
}

fn json_of(workspace: &Workspace) -> Value {
    serde_json::from_str(&encode(workspace)).expect("JSON")
}

#[test]
fn what_a_newer_version_keeps_survives_at_every_level() {
    let mut body = json_of(&full());
    for place in [
        "/replaced/0/at",
        "/triggers/0/since",
        "/webhooks/0/retry_at",
        "/attio_webhooks/0/alc_id",
        "/connections/0/code/challenge",
        "/connections/0/alc/retry_at",
        "/connections/0/attio/retry_at",
        "/connections/1/refreshing/until",
        "/connections/1/alc/access_suspicion/since",
        "/connections/1/alc/refresh_suspicion/last_at",
        "/connections/2/connecting/until",
        "/owing_until",
    ] {
        assert!(body.pointer(place).is_some_and(|value| !value.is_null()), "{place} is empty in {body:#}");
    }
    let objects = with_unknown_members(&mut body);
    // The workspace, three connections with a code and two grants each, two that refresh, one that connects, six
    // webhooks, a replacement, a trigger, two suspicions, the list, and what was found of Attio with a problem.
    assert_eq!(objects, 1 + 3 * 4 + 2 + 1 + 6 + 1 + 1 + 2 + 3, "{body:#}");
    let read: Workspace = decode(&body.to_string()).expect("a workspace");
    assert_eq!(json_of(&read), body);
}

#[test]
fn a_value_that_only_a_newer_version_knows_is_not_guessed_at() {
    for (place, value) in [
        ("/connections/0/phase", json!("paused")),
        ("/webhooks/0/state", json!("paused")),
        ("/attio_webhooks/0/state", json!("paused")),
    ] {
        let mut body = json_of(&full());
        *body.pointer_mut(place).expect(place) = value;
        assert!(decode::<Workspace>(&body.to_string()).is_err(), "{place}");
    }
}

#[test]
fn names_and_values_are_those_of_every_version() {
    let body = json_of(&full());
    for (place, value) in [
        ("/schema", json!(1)),
        ("/connections/0/phase", json!("leaving")),
        ("/connections/1/phase", json!("current")),
        ("/connections/2/phase", json!("incoming")),
        ("/connections/0/alc/attempts", json!(1)),
        ("/connections/0/attio/attempts", json!(1)),
        ("/webhooks/0/state", json!("deleting")),
        ("/webhooks/2/state", json!("registered")),
        ("/webhooks/2/alc_id", json!("upstream")),
        ("/attio_webhooks/2/alc_id", json!("upstream")),
        ("/webhooks/2/attempts", json!(1)),
    ] {
        assert_eq!(body.pointer(place), Some(&value), "{place} in {body:#}");
    }
}
