//! A code is redeemed once, wherever the process dies and however many ask at once. What a process that died has left
//! is written into the store as it would stand there.

use super::*;
use crate::store::{Change, Commit, Committed, Document, LeaseChange, Write};

/// The state that a code waits under.
fn state(code: &str) -> &str {
    code.split('.').nth(1).expect("a state")
}

async fn kept(world: &World, code: &str) -> Document {
    let (tenant, key) = (Tenant::new(state(code)), Key::new(Kind::Attempt, state(code)));
    let loaded = world.store.load(&tenant, &[key], &[], world.now()).await.expect("loads");
    loaded.documents.into_iter().next().flatten().expect("an attempt")
}

/// Puts an attempt back as it was in `before`, with its code marked as used.
async fn died_with_the_code_used(world: &World, code: &str, before: &Document) {
    let mut body: Value = serde_json::from_str(&before.body).expect("JSON");
    body["held"]["code"]["used"] = json!(true);
    let change = Change::Put {
        body: body.to_string(),
        status: "taken".into(),
        created_at: before.created_at,
        lease: LeaseChange::Leave { due: before.due },
        urgent: false,
        expires_at: None,
    };
    let key = Key::new(Kind::Attempt, state(code));
    let write = Write { key, expected: Some(kept(world, code).await.version), change };
    let committed = world.store.commit(&Tenant::new(state(code)), &Commit::of(vec![write]), world.now()).await;
    assert!(matches!(committed, Ok(Committed::Done(_))));
}

async fn workspaces(world: &World) -> u64 {
    let depths = world.store.depths(world.now()).await.expect("answers");
    depths.iter().filter(|depth| depth.kind == Kind::Workspace).map(|depth| depth.count).sum()
}

fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

#[actix_web::test]
async fn a_process_that_dies_before_the_workspace_is_written_leaves_no_grant_behind() {
    let mut world = World::new().await;
    let _upstreams = world.upstreams().await;
    let code = world.code(&[]).await;
    let before = kept(&world, &code).await;
    died_with_the_code_used(&world, &code, &before).await;
    // Nobody can tell a client that asks again from a thief.
    assert_eq!(world.redeem(&code, &[REDIRECT]).await.error(), invalid_grant());
    assert_eq!(workspaces(&world).await, 0);
    let revoked = world.alc.mock("POST", "/revoke").expect_at_least(1).create_async().await;
    reconcile(&world).await;
    revoked.assert_async().await;
}

#[actix_web::test]
async fn a_code_whose_client_never_asks_again_after_a_crash_is_given_back_too() {
    let mut world = World::new().await;
    let _upstreams = world.upstreams().await;
    let code = world.code(&[]).await;
    let before = kept(&world, &code).await;
    died_with_the_code_used(&world, &code, &before).await;
    let revoked = world.alc.mock("POST", "/revoke").expect_at_least(1).create_async().await;
    world.clock.advance(Duration::from_secs(5 * 60));
    reconcile(&world).await;
    revoked.assert_async().await;
    assert_eq!(world.redeem(&code, &[REDIRECT]).await.error(), invalid_grant());
}

#[actix_web::test]
async fn a_process_that_dies_after_the_workspace_was_written_harms_no_connection() {
    let mut world = World::new().await;
    let _upstreams = world.upstreams().await;
    let code = world.code(&[]).await;
    let before = kept(&world, &code).await;
    let granted = world.redeem(&code, &[REDIRECT]).await.json();
    assert!(!kept(&world, &code).await.body.contains("alc_access_token"), "nothing stays in the attempt");
    died_with_the_code_used(&world, &code, &before).await;
    let never = world.alc.mock("POST", "/revoke").expect(0).create_async().await;
    world.clock.advance(Duration::from_secs(5 * 60));
    reconcile(&world).await;
    never.assert_async().await;
    assert!(!kept(&world, &code).await.body.contains("alc_access_token"), "the connection has it");
    assert_eq!(world.refresh(text(&granted, "refresh_token")).await.status, 200);
}

#[actix_web::test]
async fn a_client_that_asks_again_after_that_crash_is_told_that_the_code_is_used_up() {
    let mut world = World::new().await;
    let _upstreams = world.upstreams().await;
    let code = world.code(&[]).await;
    let before = kept(&world, &code).await;
    let granted = world.redeem(&code, &[REDIRECT]).await.json();
    died_with_the_code_used(&world, &code, &before).await;
    for _ in 0..2 {
        assert_eq!(world.redeem(&code, &[REDIRECT]).await.error(), invalid_grant());
    }
    assert_eq!(world.refresh(text(&granted, "refresh_token")).await.error(), invalid_grant());
    assert_eq!(workspaces(&world).await, 1, "and nothing was opened a second time");
}

#[actix_web::test]
async fn of_many_that_redeem_one_code_at_once_none_keeps_anything() {
    let mut world = World::new().await;
    let _upstreams = world.upstreams().await;
    for _ in 0..5 {
        let code = world.code(&[]).await;
        let redeem = || world.redeem(&code, &[REDIRECT]);
        let (one, two, three) = tokio::join!(redeem(), redeem(), redeem());
        let granted: Vec<_> = [&one, &two, &three].into_iter().filter(|answer| answer.status == 200).collect();
        assert!(granted.len() <= 1, "one connection at most");
        for answer in granted {
            let token = answer.json();
            assert_eq!(world.refresh(text(&token, "refresh_token")).await.error(), invalid_grant());
        }
    }
}

#[actix_web::test]
async fn the_consent_of_a_stranger_is_in_no_workspace() {
    let mut world = World::new().await;
    let _upstreams = world.upstreams().await;
    let code = world.code(&[]).await;
    assert_eq!(workspaces(&world).await, 0);
    assert_eq!(world.redeem(&code, &[REDIRECT]).await.status, 200);
    assert_eq!(workspaces(&world).await, 1);
}
