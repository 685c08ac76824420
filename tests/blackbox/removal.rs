//! Operation `connectionRemoved`: a workspace leaves, and what it leaves behind.

use std::time::Duration;

use sandbox::{Callback, Fault, Stage};
use serde_json::json;

use crate::support::{
    ambient::eventually,
    attio_app::{connection_event, every_other_request},
    harness::{DAY, HOUR, MINUTE, Setup, scenario},
    http::send,
    raw::post_connection_removed,
};

const SECOND: Duration = Duration::from_secs(1);

scenario! {
    async fn webhooks_grants_and_tokens_go(setup: Setup) {
        let (world, app) = setup.connected().await;
        let url = world.alc.webhooks()[0].url.clone();
        app.connection_removed().await.expect(202);
        let gone = async || world.alc.webhooks().is_empty() && world.alc.living_grants() == 0;
        world.pass_until("all is gone", MINUTE, HOUR, gone).await;
        let body = json!({ "record_id": uuid::Uuid::new_v4(), "status": "qualified" });
        let closed = async || send(world.client.post(&url).json(&body)).await.status == 410;
        world.pass_until("the URL is gone", MINUTE, HOUR, closed).await;
        let ended = async || app.connection().await.status == 401;
        // Sooner than the access token expires by itself.
        world.pass_until("the tokens are gone", MINUTE, HOUR / 2, ended).await;
        assert_eq!(app.refresh().await.expect(400).json()["error"], "invalid_grant");
    }
}

scenario! {
    async fn once_it_is_gone_its_token_is_good_for_nothing(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press_with_key(&ada, "k").await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        app.connection_removed().await.expect(202);
        let gone = async || app.connection().await.status == 401;
        world.pass_until("it is gone", Duration::from_secs(1), HOUR, gone).await;
        app.connection().await.expect_problem(401, "unauthorized");
        app.connection_added().await.expect_problem(401, "unauthorized");
        app.press(&world.person()).await.expect_problem(401, "unauthorized");
        app.press_with_key(&ada, "k").await.expect_problem(401, "unauthorized");
        app.lead(&ada).await.expect_problem(401, "unauthorized");
        for request in every_other_request(&app, &ada) {
            send(request).await.expect_problem(401, "unauthorized");
        }
    }
}

scenario! {
    async fn any_token_of_ours_will_do_and_again_is_harmless(setup: Setup) {
        let (world, app) = setup.connected().await;
        world.pass(HOUR * 30).await;
        app.connection_removed().await.expect(202);
        app.connection_removed().await.expect(202);
        let gone = async || world.alc.webhooks().is_empty();
        world.pass_until("the webhook is gone", MINUTE, HOUR, gone).await;
        world.pass_slowly(DAY, 2).await;
        app.connection_removed().await.expect(202);
        assert_eq!(world.alc.journal().requests("delete_webhook").iter().filter(|seen| seen.status == Some(204)).count(), 1);
    }
}

scenario! {
    async fn a_token_that_is_not_ours_will_not_do(setup: Setup) {
        let (world, app) = setup.connected().await;
        let workspace = world.attio.workspace_id();
        let url = format!("{}/v1/events/connection-removed", world.url());
        let body = connection_event("workspace", &workspace);
        send(world.client.post(&url).json(&body)).await.expect_problem(401, "unauthorized");
        let mut forged = app.access_token();
        forged.truncate(forged.len() - 4);
        send(world.client.post(&url).bearer_auth(forged).json(&body)).await.expect_problem(401, "unauthorized");
        assert_eq!(app.connection().await.json()["status"], "connected");
    }
}

scenario! {
    async fn a_caller_who_hangs_up_has_removed_it_all_the_same(setup: Setup) {
        let (world, app) = setup.connected().await;
        let caller = post_connection_removed(&world, &app).await;
        // Long enough for the head to be read; the body never comes.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        caller.reset();
        eventually("it is being removed", async || {
            (app.connection().await.json()["status"] != "connected").then_some(())
        })
        .await;
    }
}

scenario! {
    async fn an_incoming_connection_can_be_removed_too(setup: Setup) {
        let world = setup.start().await;
        let app = world.authorize().await;
        app.connection_removed().await.expect(202);
        let gone = async || world.alc.living_grants() == 0;
        world.pass_until("the grant is given back", MINUTE, HOUR, gone).await;
    }
}

scenario! {
    async fn an_outage_of_alc_delays_it_only(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        world.alc.server().go_down().await;
        app.connection_removed().await.expect(202);
        assert_eq!(app.connection().await.json()["status"], "removing");
        world.pass_slowly(HOUR, 5).await;
        world.alc.server().come_up().await;
        let gone = async || world.alc.webhooks().is_empty() && world.alc.living_grants() == 0;
        world.pass_until("all is gone", HOUR, DAY * 2, gone).await;
    }
}

scenario! {
    async fn a_dead_grant_ends_it_all_the_same(setup: Setup) {
        let (world, app) = setup.connected().await;
        world.alc.revoke_grants();
        app.connection_removed().await.expect(202);
        let ended = async || app.connection().await.status == 401;
        // Sooner than the access token expires by itself.
        world.pass_until("it is over", MINUTE, HOUR / 2, ended).await;
    }
}

scenario! {
    async fn a_webhook_that_is_gone_already_is_done(setup: Setup) {
        let (world, app) = setup.connected().await;
        world.alc.faults().next("delete_webhook", Fault::status(404));
        app.connection_removed().await.expect(202);
        let gone = async || world.alc.living_grants() == 0;
        // In steps that a worker under way survives.
        world.pass_until("it goes on to the grant", SECOND, HOUR, gone).await;
        assert_eq!(world.alc.journal().count("delete_webhook"), 1);
    }
}

scenario! {
    async fn no_send_is_begun_after_it(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.faults().always("create_lead", Fault::status(429));
        app.press(&ada).await.expect(202);
        let hold = world.alc.faults().hold("delete_webhook", Stage::Before);
        app.connection_removed().await.expect(202);
        world.alc.faults().clear("create_lead");
        let attempts = world.alc.journal().count("create_lead");
        world.pass_slowly(MINUTE * 30, 6).await;
        assert_eq!(world.alc.journal().count("create_lead"), attempts);
        hold.release();
    }
}

scenario! {
    async fn live_leads_end_as_disconnected_after_a_day(setup: Setup) {
        let (world, app) = setup.impatient().with("LEADS__SEND_DEADLINE", "3d").connected().await;
        let (pending, queued) = (world.person(), world.person());
        app.press(&pending).await.expect(201);
        world.alc.faults().always("create_lead", Fault::status(429));
        app.press(&queued).await.expect(202);
        app.connection_removed().await.expect(202);
        world.pass_slowly(HOUR, 27).await;
        world.alc.faults().clear("create_lead");
        let again = world.connect().await;
        for person in [&pending, &queued] {
            let lead = again.lead(person).await.expect(200).json();
            assert_eq!((&lead["status"], &lead["reason"]), (&json!("failed"), &json!("disconnected")), "{lead}");
        }
        assert_eq!(world.alc.leads().len(), 1);
    }
}

scenario! {
    async fn a_result_within_that_day_still_counts(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let webhook = world.alc.webhooks()[0].webhook_id.clone();
        app.connection_removed().await.expect(202);
        world.pass_slowly(HOUR, 2).await;
        let callback = Callback::new(&ada.record_id, "qualified").to(&webhook);
        world.tell(callback.clone(), 200).await;
        world.shows(&ada, "Complete").await;
        let gone = async || world.alc.call_back(callback.clone()).await.status == 410;
        world.pass_until("its URL is gone", MINUTE * 10, HOUR * 2, gone).await;
    }
}

scenario! {
    async fn connecting_again_within_that_day_lets_them_go_on(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let (pending, queued) = (world.person(), world.person());
        app.press(&pending).await.expect(201);
        world.alc.faults().always("create_lead", Fault::status(429));
        app.press(&queued).await.expect(202);
        app.connection_removed().await.expect(202);
        world.pass_slowly(HOUR, 3).await;
        world.alc.faults().clear("create_lead");
        let again = world.connect().await;
        let out = async || again.lead_says(&queued, "status").await == "pending";
        world.pass_until("it goes out", MINUTE, HOUR, out).await;
        world.call_back(&pending, "qualified").await;
        world.call_back(&queued, "unqualified").await;
        world.shows(&pending, "Complete").await;
        world.shows(&queued, "Complete").await;
    }
}

scenario! {
    async fn giving_up_the_refresh_token_is_the_same_removal(setup: Setup) {
        let (world, app) = setup.connected().await;
        app.revoke().await.expect(200);
        app.revoke().await.expect(200);
        let gone = async || world.alc.webhooks().is_empty() && world.alc.living_grants() == 0;
        world.pass_until("all is gone", MINUTE, HOUR, gone).await;
    }
}
