//! An ALC or an Attio that gives the same tokens again to a second consent: what a connection lives on stays granted,
//! however the second consent ends.

use alc_connector::store::Key;
use sandbox::Fault;
use serde_json::json;

use super::newer_version::rewrite;
use crate::support::{
    attio_app::{AttioApp, at_attio},
    harness::{HOUR, MINUTE, Setup, World, scenario},
};

/// ALC answers the next exchange with the tokens that it gave last.
fn alc_repeats_itself(world: &World) {
    let state = world.alc.state();
    let grant = state["grants"].as_array().and_then(|grants| grants.last()).expect("a grant");
    let access = grant["access_tokens"].as_object().and_then(|tokens| tokens.keys().next_back()).expect("a token");
    let again = json!({
        "access_token": access, "refresh_token": grant["refresh_token"], "token_type": "Bearer", "expires_in": 3600,
    });
    world.alc.faults().next("token", Fault::status_with(200, ("content-type", "application/json"), again));
}

/// Attio likewise.
fn attio_repeats_itself(world: &World) {
    let proof = world.attio.journal().requests("self")[0].headers["authorization"].clone();
    let again = json!({ "access_token": proof.trim_start_matches("Bearer "), "token_type": "Bearer" });
    world.attio.faults().next("token", Fault::status_with(200, ("content-type", "application/json"), again));
}

/// The connection works at both sides, by the grants that it came with.
async fn lives(world: &World, app: &AttioApp) {
    assert_eq!(app.connection().await.expect(200).json()["status"], "connected");
    let ada = world.person();
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.call_back(&ada, "qualified").await;
    world.shows(&ada, "Complete").await;
    assert_eq!(revocations(world), (0, 0));
}

fn revocations(world: &World) -> (usize, usize) {
    (world.alc.journal().count("revoke"), world.attio.journal().count("revoke"))
}

scenario! {
    async fn an_abandoned_second_consent_takes_nothing_from_the_connection(setup: Setup) {
        let (world, app) = setup.attio_grants().connected().await;
        alc_repeats_itself(&world);
        let _abandoned = at_attio(&world).await;
        world.pass_slowly(MINUTE * 4, 6).await;
        lives(&world, &app).await;
    }
}

scenario! {
    async fn a_failed_look_at_whose_token_it_is_takes_nothing_from_the_connection(setup: Setup) {
        let (world, app) = setup.attio_grants().impatient().connected().await;
        let inactive = Fault::status_with(200, ("x-nothing", "1"), json!({ "active": false }));
        for fault in [Fault::status(500), inactive] {
            alc_repeats_itself(&world);
            attio_repeats_itself(&world);
            let (mut browser, callback) = at_attio(&world).await;
            world.attio.faults().next("self", fault);
            let back = browser.visit(&callback).await.expect(302);
            assert!(back.location_query().contains_key("error"), "{}", back.location());
            world.pass_slowly(MINUTE * 4, 3).await;
        }
        lives(&world, &app).await;
    }
}

scenario! {
    /// Nothing tells which account a token of ALC's is for: it may be that of another workspace, too.
    async fn a_removal_takes_nothing_from_another_workspace_on_the_same_account(setup: Setup) {
        let (world, one) = setup.attio_grants().connected().await;
        world.attio.configure(|settings| settings.workspace_id = uuid::Uuid::new_v4().to_string());
        alc_repeats_itself(&world);
        let other = world.connect().await;
        one.connection_removed().await.expect(202);
        let gone = async || world.attio.living_grants() == 1;
        world.pass_until("the first workspace's grant at Attio is given back", MINUTE, HOUR / 3, gone).await;
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(world.alc.journal().count("revoke"), 0);
        assert_eq!(other.connection().await.expect(200).json()["status"], "connected");
        let ada = world.person();
        other.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        // Once no workspace lives on it any more, it goes.
        world.call_back(&ada, "qualified").await;
        other.connection_removed().await.expect(202);
        let none = async || world.alc.living_grants() == 0 && world.attio.living_grants() == 0;
        world.pass_until("all that is left is given back", MINUTE, HOUR, none).await;
    }
}

scenario! {
    /// A workspace whose document only a newer version can read may live on the very tokens.
    async fn nothing_is_revoked_while_a_workspace_cannot_be_asked(setup: Setup) {
        let (mut world, app) = setup.attio_grants().connected().await;
        alc_repeats_itself(&world);
        let _abandoned = at_attio(&world).await;
        let of_schema = async |world: &mut World, schema: u32| {
            rewrite(world, Key::workspace(), |_| json!("connected"), |body| body["schema"] = json!(schema)).await;
        };
        of_schema(&mut world, 99).await;
        world.pass_slowly(MINUTE * 4, 5).await;
        assert_eq!(revocations(&world), (0, 0));
        of_schema(&mut world, 1).await;
        lives(&world, &app).await;
    }
}
