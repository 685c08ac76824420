//! Operation `authorizeCallback` and the refreshes after it when a token answer is odd in what it need not have, or
//! cannot be used at all.

use sandbox::{Fault, alc};
use serde_json::{Map, Value, json};

use crate::support::{
    attio_app::authorize_url,
    harness::{HOUR, MINUTE, Setup, World, scenario},
    settings::REDIRECT_URI,
};

fn members(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn answering(members: Map<String, Value>) -> impl FnOnce(&mut alc::Settings) {
    move |alc| alc.token_members = members
}

scenario! {
    async fn what_a_token_answer_need_not_have_does_not_cost_the_token(setup: Setup) {
        let world = setup.start().await;
        for odd in [
            json!({ "token_type": "BearerToken" }),
            json!({ "token_type": null, "expires_in": "3600" }),
            json!({ "expires_in": "in an hour", "scope": ["leads"] }),
            json!({ "expires_in": -1, "token_type": 7 }),
            json!({ "refresh_token": 17 }),
            json!({ "refresh_token": "with\na line break", "expires_in": {} }),
        ] {
            world.alc.configure(answering(members(&odd)));
            let app = world.connect().await;
            let ada = world.person();
            app.press(&ada).await.expect(201);
        }
    }
}

scenario! {
    async fn a_refresh_with_odd_extras_is_a_refresh(setup: Setup) {
        let (world, app) = setup.connected().await;
        world.alc.configure(answering(members(&json!({ "token_type": "bearer_token", "expires_in": "soon" }))));
        let refreshed = async || world.alc.journal().count("token") > 1;
        world.pass_until("refreshed", MINUTE, HOUR * 2, refreshed).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        assert_eq!(app.connection().await.json()["status"], "connected");
    }
}

scenario! {
    async fn a_refresh_token_beside_an_unusable_access_token_is_the_next_one(setup: Setup) {
        let (world, app) = setup.connected().await;
        world.alc.configure(answering(members(&json!({ "token_type": "N_A" }))));
        let refreshed = async || world.alc.journal().count("token") > 1;
        world.pass_until("refreshed", MINUTE, HOUR * 2, refreshed).await;
        // ALC rotates: the refresh token that was sent is used up.
        world.alc.configure(answering(Map::new()));
        let refreshed = world.alc.journal().count("token") + 1;
        let again = async || world.alc.journal().count("token") > refreshed;
        world.pass_until("refreshed twice more", MINUTE, HOUR * 4, again).await;
        assert_eq!(app.connection().await.json()["status"], "connected");
        app.press(&world.person()).await.expect(201);
    }
}

/// What the browser is told at the end of a connect that cannot be.
async fn refused_at_the_client(world: &World) -> String {
    let mut browser = world.browser();
    let mut answer = browser.visit(&authorize_url(world, &[])).await.expect(302);
    while !answer.location().as_str().starts_with(REDIRECT_URI) {
        let callback = browser.consent(answer.location().as_str()).await;
        answer = browser.visit(&callback).await.expect(302);
    }
    let query = answer.location_query();
    query.get("error").unwrap_or_else(|| panic!("an error in {query:?}")).clone()
}

async fn nothing_is_granted_any_more(world: &World) {
    let none = async || world.alc.living_grants() == 0;
    world.pass_until("all is given back", MINUTE, HOUR, none).await;
}

scenario! {
    async fn a_token_of_alcs_that_cannot_be_used_is_given_back(setup: Setup) {
        let world = setup.start().await;
        for foreign in ["mac", "DPoP", "N_A"] {
            world.alc.configure(answering(members(&json!({ "token_type": foreign }))));
            assert_eq!(refused_at_the_client(&world).await, "server_error", "{foreign}");
            nothing_is_granted_any_more(&world).await;
        }
        // Where only the refresh token could be used, that one is.
        world.alc.configure(answering(members(&json!({ "access_token": "line\nbreak" }))));
        assert_eq!(refused_at_the_client(&world).await, "server_error");
        nothing_is_granted_any_more(&world).await;
    }
}

scenario! {
    async fn a_token_of_attios_that_cannot_be_used_is_given_back_with_alcs(setup: Setup) {
        let world = setup.attio_grants().start().await;
        let body = json!({ "access_token": "of-another-type", "token_type": "mac" });
        world.attio.faults().next("token", Fault::DoneBut { status: 200, body });
        assert_eq!(refused_at_the_client(&world).await, "server_error");
        let given_back = async || {
            let revoked = world.attio.journal().requests("revoke");
            world.alc.living_grants() == 0 && revoked.iter().any(|seen| seen.body.contains("token=of-another-type"))
        };
        world.pass_until("both are given back", MINUTE, HOUR, given_back).await;
    }
}
