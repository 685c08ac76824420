//! Operation `sendLead`: its header `Idempotency-Key`.

use std::{collections::BTreeSet, time::Duration};

use sandbox::{Fault, Stage};
use serde_json::json;

use crate::support::{
    ambient::spawn,
    attio_app::lead_body,
    harness::{HOUR, MINUTE, Setup, scenario},
};

scenario! {
    async fn the_same_key_and_body_201_and_alc_is_not_called_again(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let first = app.press_with_key(&ada, "k1").await.expect(201).json();
        let again = app.press_with_key(&ada, "k1").await.expect(201).json();
        assert_eq!(first["lead_id"], again["lead_id"]);
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    }
}

scenario! {
    async fn the_same_key_and_another_body_422(setup: Setup) {
        let (world, app) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        app.press_with_key(&ada, "k1").await.expect(201);
        app.press_with_key(&bob, "k1").await.expect_problem(422, "idempotency-key-reused");
        app.lead(&bob).await.expect(404);
        // The same record is not enough; what nothing of ALC's depends on does not count.
        for (field, other, status) in [
            ("name", "Grace Hopper".to_owned(), 422),
            ("phone_number", "+12015550199".to_owned(), 422),
            ("name", format!("  {} ", ada.name), 201),
            ("finish_callback_url", world.attio.callback_url("step"), 201),
        ] {
            let mut body = lead_body(&ada);
            body[field] = other.into();
            let request = app.request(reqwest::Method::POST, "/v1/leads").header("idempotency-key", "k1").json(&body);
            crate::support::http::send(request).await.expect(status);
        }
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    }
}

scenario! {
    async fn a_repeat_is_answered_from_the_state_now(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press_with_key(&ada, "k1").await.expect(201);
        world.call_back(&ada, "qualified").await;
        let lead = app.press_with_key(&ada, "k1").await.expect(201).json();
        assert_eq!(lead["status"], "complete");
        assert_eq!(world.alc.journal().count("create_lead"), 1, "the key is looked at before a finished send");
    }
}

scenario! {
    async fn a_repeat_of_a_refused_send_422(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.alc.faults().next("create_lead", Fault::status(400));
        app.press_with_key(&ada, "k1").await.expect_problem(422, "lead-rejected");
        app.press_with_key(&ada, "k1").await.expect_problem(422, "lead-rejected");
        assert_eq!(world.alc.journal().count("create_lead"), 1);
        app.press_with_key(&ada, "k2").await.expect(201);
    }
}

scenario! {
    async fn a_repeat_while_the_first_still_runs_202(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let hold = world.alc.faults().hold("create_lead", Stage::After);
        let first = spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press_with_key(&ada, "k1").await }
        });
        hold.reached(1).await;
        let again = app.press_with_key(&ada, "k1").await;
        assert!([201, 202].contains(&again.status), "{again:?}");
        hold.release();
        first.await.expect("an answer").expect(201);
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    }
}

scenario! {
    async fn the_same_key_many_times_at_once_sends_once(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let presses = (0..20).map(|_| app.press_with_key(&ada, "k1"));
        let answers = futures_util::future::join_all(presses).await;
        assert!(answers.iter().all(|answer| [201, 202].contains(&answer.status)), "{answers:?}");
        let sends: BTreeSet<_> = answers.iter().map(|answer| answer.json()["created_at"].to_string()).collect();
        assert_eq!(sends.len(), 1, "each shows that one send");
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    }
}

scenario! {
    async fn a_key_that_joined_a_live_send_is_remembered_too(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press_with_key(&ada, "k1").await.expect(201);
        app.press_with_key(&ada, "k2").await.expect(200);
        world.call_back(&ada, "qualified").await;
        app.press_with_key(&ada, "k2").await.expect(201);
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    }
}

scenario! {
    async fn what_stored_nothing_leaves_no_key(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let mut bad = lead_body(&ada);
        bad["name"] = json!("");
        let request = app.request(reqwest::Method::POST, "/v1/leads").header("idempotency-key", "k1").json(&bad);
        crate::support::http::send(request).await.expect(400);
        app.press_with_key(&ada, "k1").await.expect(201);
    }
}

scenario! {
    async fn nor_does_what_the_connection_did_not_allow(setup: Setup) {
        let world = setup.start().await;
        let (app, ada, bob) = (world.authorize().await, world.person(), world.person());
        app.press_with_key(&ada, "k1").await.expect_problem(409, "connection-not-ready");
        app.connection_added().await.expect(201);
        // The same key may stand for anything now.
        app.press_with_key(&bob, "k1").await.expect(201);
        world.alc.revoke_grants();
        let dead = async || app.connection().await.json()["status"] == "reauthorization-required";
        world.pass_until("it is known", MINUTE * 5, HOUR * 2, dead).await;
        app.press_with_key(&ada, "k2").await.expect_problem(409, "reauthorization-required");
        let again = world.connect().await;
        again.press_with_key(&world.person(), "k2").await.expect(201);
        again.lead(&ada).await.expect(404);
    }
}

scenario! {
    async fn a_key_is_forgotten_after_a_day(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press_with_key(&ada, "k1").await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.pass(HOUR * 24 - MINUTE * 5).await;
        app.press_with_key(&ada, "k1").await.expect(201);
        assert_eq!(world.alc.journal().count("create_lead"), 1, "not yet, and asking does not prolong it");
        world.pass(MINUTE * 6).await;
        app.press_with_key(&ada, "k1").await.expect(201);
        world.alc.journal().wait_for("create_lead", 2).await;
    }
}

scenario! {
    async fn a_repeat_of_a_queued_send_202_until_it_is_out(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.server().go_down().await;
        app.press_with_key(&ada, "k1").await.expect(202);
        app.press_with_key(&ada, "k1").await.expect(202);
        world.alc.server().come_up().await;
        let pending = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it goes out", Duration::from_secs(30), HOUR, pending).await;
        app.press_with_key(&ada, "k1").await.expect(201);
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1);
    }
}
