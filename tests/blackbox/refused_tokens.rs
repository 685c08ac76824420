//! Operations `sendLead` and `getConnection` when ALC or Attio refuses a token: what ends a grant, and what is a stray.

use std::time::Duration;

use sandbox::Fault;
use serde_json::{Value, json};

use crate::support::{
    attio_app::AttioApp,
    harness::{HOUR, MINUTE, Setup, World, scenario},
};

const SECOND: Duration = Duration::from_secs(1);

async fn status(app: &AttioApp) -> Value {
    app.connection().await.expect(200).json()["status"].clone()
}

fn refusal(status: u16, body: Value) -> Fault {
    Fault::status_with(status, ("cache-control", "no-store"), body)
}

/// ALC's API refuses the access token, and its token endpoint the refresh token, like this. A lead is pressed.
async fn refused(world: &World, app: &AttioApp, fault: Fault) {
    world.alc.expire_access_tokens();
    world.alc.faults().always("token", fault);
    let ada = world.person();
    let answer = world.while_time_passes(app.press(&ada)).await;
    assert!([202, 409].contains(&answer.status), "{answer:?}");
}

scenario! {
    async fn a_dead_refresh_token_is_known_by_whatever_name_at_once(setup: Setup) {
        let world = setup.impatient().start().await;
        for (status_code, body) in [
            (400, json!({ "error": { "code": "invalid_grant" } })),
            (400, json!({ "error": { "type": "invalid_grant", "message": "Token expired" } })),
            (401, json!({ "error": "INVALID_GRANT" })),
            (400, json!({ "errors": [{ "code": "invalid_grant" }] })),
            (400, json!("error=invalid_grant&error_description=expired")),
        ] {
            let app = world.connect().await;
            refused(&world, &app, refusal(status_code, body.clone())).await;
            let told = async || status(&app).await == "reauthorization-required";
            world.pass_until(&format!("{body} is believed"), SECOND, SECOND * 20, told).await;
            world.alc.faults().clear("token");
        }
    }
}

scenario! {
    async fn another_clear_refusal_is_believed_when_it_goes_on(setup: Setup) {
        let world = setup.impatient().start().await;
        for (status_code, body) in [
            (400, json!({ "error": "token_revoked" })),
            (401, json!({ "error": "invalid_client" })),
            (403, json!("Forbidden")),
            (404, json!(null)),
            (200, json!({ "error": "bad_refresh_token" })),
        ] {
            let app = world.connect().await;
            refused(&world, &app, refusal(status_code, body.clone())).await;
            world.pass_slowly(SECOND * 5, 4).await;
            assert_eq!(status(&app).await, "connected", "once is not enough: {body}");
            let told = async || status(&app).await == "reauthorization-required";
            world.pass_until(&format!("{body} is believed"), SECOND * 15, MINUTE * 10, told).await;
            world.alc.faults().clear("token");
        }
    }
}

scenario! {
    async fn a_refusal_that_passes_ends_nothing(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        refused(&world, &app, refusal(401, json!({ "error": "invalid_client" }))).await;
        world.pass_slowly(SECOND * 10, 4).await;
        world.alc.faults().clear("token");
        let sent = async || world.alc.leads().len() == 1;
        world.pass_until("the lead is sent", SECOND * 15, MINUTE * 5, sent).await;
        assert_eq!(status(&app).await, "connected");
    }
}

scenario! {
    async fn a_mended_client_brings_the_grant_back_to_life(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        refused(&world, &app, refusal(401, json!({ "error": "unauthorized_client" }))).await;
        let told = async || status(&app).await == "reauthorization-required";
        world.pass_until("it is believed", SECOND * 15, MINUTE * 10, told).await;
        world.pass_slowly(MINUTE * 10, 3).await;
        world.alc.faults().clear("token");
        let back = async || status(&app).await == "connected" && world.alc.leads().len() == 1;
        world.pass_until("it is connected again, and the lead is sent", MINUTE, MINUTE * 30, back).await;
    }
}

scenario! {
    async fn what_works_is_used_though_it_cannot_be_renewed(setup: Setup) {
        // ALC says no expiry, so ours is a guess; and refuses to renew what still works.
        let (world, app) = setup.impatient().alc(|alc| alc.expires_in = None).connected().await;
        world.alc.faults().always("token", refusal(400, json!({ "error": "unsupported_grant_type" })));
        world.pass_slowly(MINUTE * 20, 6).await;
        let ada = world.person();
        let answer = world.while_time_passes(app.press(&ada)).await;
        assert!([201, 202].contains(&answer.status), "{answer:?}");
        let sent = async || world.alc.leads_of(&ada.record_id).len() == 1;
        world.pass_until("it is sent", MINUTE, MINUTE * 10, sent).await;
        assert_eq!(status(&app).await, "connected");
    }
}

scenario! {
    async fn one_stray_401_without_a_refresh_token_ends_nothing(setup: Setup) {
        let (world, app) = setup.impatient().minimal_alc().connected().await;
        let people: Vec<_> = (0..5).map(|_| world.person()).collect();
        world.alc.faults().times("create_lead", 5, Fault::status(401));
        let presses = people.iter().map(|person| app.press(person));
        for answer in world.while_time_passes(futures_util::future::join_all(presses)).await {
            assert!([201, 202].contains(&answer.status), "{answer:?}");
        }
        assert_eq!(status(&app).await, "connected");
        let sent = async || world.alc.leads().len() == people.len();
        world.pass_until("all are sent", SECOND * 10, MINUTE * 10, sent).await;
        assert_eq!(status(&app).await, "connected");
        // And again, much later.
        for _ in 0..3 {
            world.pass_slowly(MINUTE * 10, 2).await;
            let ada = world.person();
            world.alc.faults().next("create_lead", Fault::status(401));
            world.while_time_passes(app.press(&ada)).await.expect(202);
            let sent = async || world.alc.leads_of(&ada.record_id).len() == 1;
            world.pass_until("it is sent", SECOND * 10, MINUTE * 10, sent).await;
        }
        assert_eq!(status(&app).await, "connected");
    }
}

scenario! {
    async fn a_401_that_goes_on_without_a_refresh_token_is_the_end(setup: Setup) {
        let (world, app) = setup.impatient().minimal_alc().connected().await;
        world.alc.faults().always("create_lead", Fault::status(401));
        let ada = world.person();
        world.while_time_passes(app.press(&ada)).await.expect(202);
        assert_eq!(status(&app).await, "connected");
        let told = async || status(&app).await == "reauthorization-required";
        world.pass_until("it is believed", SECOND * 10, MINUTE * 5, told).await;
        world.alc.faults().clear("create_lead");
        let again = world.connect().await;
        assert_eq!(status(&again).await, "connected");
        let sent = async || world.alc.leads_of(&ada.record_id).len() == 1;
        world.pass_until("the lead is sent under the new grant", MINUTE, HOUR, sent).await;
    }
}

scenario! {
    async fn a_401_to_one_lead_alone_ends_nothing_while_others_go_out(setup: Setup) {
        let (world, app) = setup.impatient().minimal_alc().connected().await;
        let (ada, bob) = (world.person(), world.person());
        world.alc.faults().add(sandbox::Rule {
            operation: "create_lead".to_owned(),
            fault: Fault::status(401),
            times: None,
            contains: Some(ada.record_id.clone()),
        });
        world.while_time_passes(app.press(&ada)).await.expect(202);
        for _ in 0..12 {
            world.pass_slowly(SECOND * 10, 2).await;
            let other = world.person();
            world.while_time_passes(app.press(&other)).await;
        }
        world.while_time_passes(app.press(&bob)).await;
        let sent = async || world.alc.leads_of(&bob.record_id).len() == 1;
        world.pass_until("the others are sent", SECOND * 10, MINUTE * 10, sent).await;
        assert_eq!(status(&app).await, "connected");
    }
}

scenario! {
    async fn a_stray_401_while_connecting_is_asked_again(setup: Setup) {
        let world = setup.minimal_alc().start().await;
        world.alc.faults().next("create_webhook", Fault::status(401));
        let app = world.authorize().await;
        app.connection_added().await.expect(201);
        assert_eq!(world.alc.webhooks().len(), 1);
        let ada = world.person();
        app.press(&ada).await.expect(201);
    }
}

scenario! {
    async fn attio_itself_says_whether_a_401_of_its_means_the_end(setup: Setup) {
        let (world, app) = setup.impatient().attio_grants().connected().await;
        for self_says in [None, Some(Fault::status(503)), Some(Fault::Garbage)] {
            let ada = world.person();
            world.attio.faults().next("patch_record", Fault::status(401));
            if let Some(fault) = self_says {
                world.attio.faults().next("self", fault);
            }
            app.press(&ada).await.expect(201);
            world.shows(&ada, "Pending").await;
            assert_eq!(status(&app).await, "connected");
        }
        world.attio.revoke_grants();
        let bob = world.person();
        app.press(&bob).await.expect(201);
        let told = async || status(&app).await == "reauthorization-required";
        world.pass_until("Attio says that it is over", MINUTE, HOUR, told).await;
    }
}

scenario! {
    async fn a_stray_401_to_attios_api_key_delays_by_little(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.attio.faults().next("patch_record", Fault::status(401));
        app.press(&ada).await.expect(201);
        let shown = async || world.attio.value(&ada.record_id, "alc_status").as_deref() == Some("Pending");
        world.pass_until("it is shown", SECOND * 5, MINUTE * 3, shown).await;
    }
}
