//! Operations `authorize` to `connectionAdded`: connecting.

use std::time::Duration;

use sandbox::{Fault, Stage};

use crate::support::{
    ambient::spawn,
    harness::{HOUR, MINUTE, Setup, scenario},
};

scenario! {
    /// The whole life, each step read back from the pretend services.
    async fn the_whole_life_of_a_lead(setup: Setup) {
        let (world, app) = setup.connected().await;
        assert_eq!(world.alc.webhooks().len(), 1, "the webhook is registered");
        let ada = world.person();

        let lead = app.press(&ada).await.expect(201).json();
        assert_eq!(lead["status"], "pending");
        assert_eq!(lead["lead_id"], world.alc.leads_of(&ada.record_id)[0].id.as_str());
        world.shows(&ada, "Pending").await;

        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some("qualified"));
        assert_eq!(app.lead_says(&ada, "result").await, "qualified");

        app.connection_removed().await.expect(202);
        world.alc.journal().wait_answered("delete_webhook", 1).await;
        assert!(world.alc.webhooks().is_empty(), "the webhook is gone");
        assert_eq!(world.attio.history(&ada.record_id), ["Pending", "Complete"]);
    }
}

scenario! {
    async fn connection_added_twice_does_nothing_twice(setup: Setup) {
        let world = setup.start().await;
        let app = world.authorize().await;
        assert_eq!(app.connection().await.expect(200).json()["status"], "incoming");
        let first = app.connection_added().await.expect(201).json();
        let second = app.connection_added().await.expect(200).json();
        assert_eq!(first["id"], second["id"]);
        assert_eq!(second["status"], "connected");
        assert_eq!(second["workspace_id"], world.attio.workspace_id().as_str());
        let id = second["webhook"]["id"].as_str().expect("an id");
        assert!(world.alc.webhooks()[0].name.ends_with(id), "the webhook at ALC is known by its name");
        assert_eq!(world.alc.journal().count("create_webhook"), 1);
    }
}

scenario! {
    async fn a_concurrent_call_waits_for_the_first(setup: Setup) {
        let world = setup.start().await;
        let app = world.authorize().await;
        let hold = world.alc.faults().hold("create_webhook", Stage::After);
        let first = spawn({ let app = app.clone(); async move { app.connection_added().await } });
        hold.reached(1).await;
        let second = spawn({ let app = app.clone(); async move { app.connection_added().await } });
        tokio::task::yield_now().await;
        hold.release();
        let mut statuses = [first.await.expect("an answer").status, second.await.expect("an answer").status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201]);
        assert_eq!(world.alc.all_webhooks().len(), 1);
    }
}

scenario! {
    async fn what_alc_refuses_fails_the_connect_and_nothing_is_left(setup: Setup) {
        let world = setup.start().await;
        let app = world.authorize().await;
        world.alc.faults().next("create_webhook", Fault::status(403));
        app.connection_added().await.expect_problem(422, "connect-refused");
        assert!(world.alc.webhooks().is_empty());
        world.connect().await;
        assert_eq!(world.alc.webhooks().len(), 1);
    }
}

scenario! {
    async fn a_webhook_whose_answer_was_lost_is_deleted_and_made_again(setup: Setup) {
        let world = setup.impatient().start().await;
        let app = world.authorize().await;
        world.alc.faults().next("create_webhook", Fault::done_but_500());
        app.connection_added().await.expect(201);
        let one = async || world.alc.webhooks().len() == 1;
        world.pass_until("no orphan is left", Duration::from_secs(10), MINUTE * 2, one).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn no_clear_answer_fails_the_connect_where_nothing_can_be_found_again(setup: Setup) {
        let world = setup.impatient().minimal_alc().start().await;
        let app = world.authorize().await;
        world.alc.faults().next("create_webhook", Fault::status(500));
        let failed = app.connection_added().await;
        assert!([502, 504].contains(&failed.status), "{failed:?}");
        world.connect().await;
        assert_eq!(world.alc.webhooks().len(), 1);
    }
}

scenario! {
    async fn connecting_takes_at_most_twenty_seconds(setup: Setup) {
        let world = setup.with("ALC__TIMEOUT", "12s").start().await;
        let app = world.authorize().await;
        let hold = world.alc.faults().hold("create_webhook", Stage::After);
        let added = spawn({ let app = app.clone(); async move { app.connection_added().await } });
        hold.reached(1).await;
        world.pass(Duration::from_secs(21)).await;
        let failed = added.await.expect("an answer");
        assert!([502, 504].contains(&failed.status), "{failed:?}");
        hold.release();
        let gone = async || world.alc.webhooks().is_empty();
        world.pass_until("the webhook is gone", MINUTE, HOUR, gone).await;
    }
}

scenario! {
    async fn only_the_workspaces_own_connection_is_ours(setup: Setup) {
        let world = setup.start().await;
        let app = world.authorize().await;
        let workspace = world.attio.workspace_id();
        app.connection_added_by("user", &workspace).await.expect_problem(422, "workspace-connection-required");
        let other = "3a6ae7e0-5b0f-4a51-9d0b-3c4a1b2c3d4e";
        app.connection_added_by("workspace", other).await.expect_problem(409, "workspace-mismatch");
        assert_eq!(world.alc.journal().count("create_webhook"), 0);
    }
}

scenario! {
    async fn attios_credential_is_proven_before_anything_is_made(setup: Setup) {
        let world = setup.start().await;
        let app = world.authorize().await;
        world.attio.revoke_token(&world.attio.api_key());
        let failed = app.connection_added().await;
        assert_eq!(failed.slug(), "connect-refused", "{failed:?}");
        assert!(world.alc.webhooks().is_empty());
    }
}

scenario! {
    async fn a_registration_without_a_secret_fails_where_signatures_are_required(setup: Setup) {
        let world = setup.alc(|alc| alc.secrets = false).with("ALC__WEBHOOK_SIGNATURE", "required").start().await;
        let app = world.authorize().await;
        app.connection_added().await.expect_problem(422, "connect-refused");
        let gone = async || world.alc.webhooks().is_empty();
        world.pass_until("the webhook is gone", MINUTE, HOUR, gone).await;
    }
}

scenario! {
    async fn an_hour_without_connection_added_and_the_grant_is_given_back(setup: Setup) {
        let world = setup.start().await;
        let app = world.authorize().await;
        world.pass(MINUTE * 50).await;
        // A token that outlives the connection.
        app.refresh().await.expect(200);
        let revoked = async || world.alc.living_grants() == 0;
        world.pass_until("revoked", MINUTE, MINUTE * 20, revoked).await;
        let erased = async || app.connection().await.status == 401;
        world.pass_until("its token is good for nothing", MINUTE, MINUTE * 20, erased).await;
    }
}
