//! Operation `sendLead`: one press, by where the record's last send stands and what ALC answers.

use std::time::Duration;

use sandbox::{Fault, Stage};
use serde_json::{Value, json};

use crate::support::{
    ambient::{eventually, spawn},
    attio_app::lead_body,
    harness::{HOUR, MINUTE, Setup, scenario},
};

scenario! {
    async fn a_fault_in_the_request_is_named_and_nothing_is_stored_or_sent(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let good = lead_body(&ada);
        for (field, bad) in [
            ("record_id", json!("no uuid")),
            ("record_id", Value::Null),
            ("name", json!("   ")),
            ("name", json!("x".repeat(201))),
            ("name", json!(7)),
            ("phone_number", json!("12")),
            ("phone_number", json!("2015550123")),
            ("finish_callback_url", json!("https://example.com/hook")),
        ] {
            let mut body = good.clone();
            body[field] = bad;
            let problem = app.press_body(&body).await.expect_problem(400, "invalid-request").json();
            let pointers = problem["errors"].to_string();
            assert!(pointers.contains(field), "{field} is named: {problem}");
        }
        app.lead(&ada).await.expect(404);
        assert_eq!(world.alc.journal().count("create_lead"), 0);
    }
}

scenario! {
    async fn several_faults_are_named_at_once(setup: Setup) {
        let (world, app) = setup.connected().await;
        let body = json!({ "record_id": world.person().record_id, "name": "", "phone_number": "12" });
        let problem = app.press_body(&body).await.expect(400).json();
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(2), "{problem}");
    }
}

scenario! {
    async fn the_name_goes_out_trimmed_and_the_number_as_e164(setup: Setup) {
        let (world, app) = setup.with("LEADS__DEFAULT_REGION", "US").connected().await;
        let ada = world.person();
        let mut body = lead_body(&ada);
        body["name"] = json!("  Ada Lovelace ");
        body["phone_number"] = json!("(201) 555-0123");
        body["finish_callback_url"] = Value::Null;
        body["something_new"] = json!("ignored");
        app.press_body(&body).await.expect(201);
        let sent = &world.alc.leads_of(&ada.record_id)[0];
        assert_eq!((sent.name.as_str(), sent.phone_number.as_str()), ("Ada Lovelace", "+12015550123"));
        assert!(sent.idempotency_key.is_some(), "a key is always sent");
    }
}

scenario! {
    async fn alc_has_it_201_and_attio_turns_pending(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let lead = app.press(&ada).await.expect(201).json();
        assert_eq!(lead["attempts"], 1);
        world.shows(&ada, "Pending").await;
        let shown = world.attio.value(&ada.record_id, "alc_lead_id");
        assert_eq!(shown.as_deref(), lead["lead_id"].as_str());
        world.synced(&app, &ada).await;
        let patches = world.attio.journal().requests("patch_record");
        let values = &patches[0].json()["data"]["values"];
        assert_eq!(values["alc_status"], json!(["Pending"]), "bare strings in an array");
    }
}

scenario! {
    async fn alc_is_down_202_and_it_goes_out_when_alc_is_back(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.server().go_down().await;
        let lead = app.press(&ada).await.expect(202).json();
        assert_eq!(lead["status"], "queued");
        world.alc.server().come_up().await;
        world.pass_until("it goes out", MINUTE, HOUR, async || app.lead_says(&ada, "status").await == "pending").await;
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1);
        world.shows(&ada, "Pending").await;
    }
}

scenario! {
    async fn alc_limits_202_and_its_retry_after_is_kept_by_all(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let (ada, bob) = (world.person(), world.person());
        world.alc.faults().next("create_lead", Fault::status_with(429, ("retry-after", "1800"), Value::Null));
        app.press(&ada).await.expect(202);
        app.press(&bob).await.expect(202);
        world.pass_slowly(MINUTE * 5, 5).await;
        assert_eq!(world.alc.journal().count("create_lead"), 1, "not before the half hour is over, for nobody");
        for person in [&ada, &bob] {
            let out = async || app.lead_says(person, "status").await == "pending";
            world.pass_until("it goes out", MINUTE, HOUR, out).await;
        }
    }
}

scenario! {
    async fn alc_hangs_202_and_it_goes_out_once(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.faults().next("create_lead", Fault::Hang);
        let pressed = spawn({ let (app, ada) = (app.clone(), ada.clone()); async move { app.press(&ada).await } });
        world.alc.journal().wait_for("create_lead", 1).await;
        world.pass(Duration::from_secs(2)).await;
        pressed.await.expect("an answer").expect(202);
        world.pass_until("it goes out", MINUTE, HOUR, async || app.lead_says(&ada, "status").await == "pending").await;
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1);
    }
}

scenario! {
    async fn alc_refuses_422_with_its_words_and_attio_stays_as_it_was(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let words = json!({ "error": "landline", "message": "numbers of landlines are not taken" });
        world.alc.faults().next("create_lead", Fault::status_with(400, ("x-of", "alc"), words));
        let problem = app.press(&ada).await.expect_problem(422, "lead-rejected").json();
        assert!(problem["detail"].to_string().contains("landlines"), "{problem}");
        let lead = app.lead(&ada).await.expect(200).json();
        assert_eq!((&lead["status"], &lead["reason"]), (&json!("failed"), &json!("rejected")));
        world.pass_slowly(MINUTE * 10, 3).await;
        assert_eq!(world.attio.journal().count("patch_record"), 0);
    }
}

scenario! {
    async fn each_4xx_of_alc_is_a_refusal_or_not_as_the_contract_says(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        for status in [402, 403, 404, 405, 410, 413, 418, 422, 451] {
            let ada = world.person();
            world.alc.faults().next("create_lead", Fault::status(status));
            app.press(&ada).await.expect_problem(422, "lead-rejected");
        }
        for status in [408, 425, 429] {
            let ada = world.person();
            world.alc.faults().next("create_lead", Fault::status(status));
            let pressed = world.while_time_passes(app.press(&ada)).await;
            assert!([201, 202].contains(&pressed.status), "{status}: {}", pressed.body);
            let pending = async || app.lead_says(&ada, "status").await == "pending";
            world.pass_until("it goes out", MINUTE, HOUR, pending).await;
            assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1, "{status}");
        }
    }
}

scenario! {
    async fn a_409_of_alc_is_a_refusal_if_no_attempt_before_was_unknown(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.alc.faults().next("create_lead", Fault::status(409));
        app.press(&ada).await.expect_problem(422, "lead-rejected");
    }
}

scenario! {
    async fn a_409_of_alc_after_an_unknown_attempt_counts_as_accepted(setup: Setup) {
        let (world, app) = setup.impatient().minimal_alc().connected().await;
        let ada = world.person();
        world.alc.faults().next("create_lead", Fault::status(500));
        world.alc.faults().next("create_lead", Fault::status(409));
        app.press(&ada).await;
        world.pass_until("accepted", MINUTE, HOUR, async || app.lead_says(&ada, "status").await == "pending").await;
        assert_eq!(app.lead_says(&ada, "lead_id").await, Value::Null);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn the_grant_dies_during_the_send_409_and_it_goes_out_after_the_reconnect(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let (ada, bob) = (world.person(), world.person());
        world.alc.revoke_grants();
        let problem = app.press(&ada).await.expect_problem(409, "reauthorization-required").json();
        assert_eq!(problem["lead"]["status"], "queued", "{problem}");
        assert_eq!(app.connection().await.json()["status"], "reauthorization-required");

        let problem = app.press(&bob).await.expect_problem(409, "reauthorization-required").json();
        assert_eq!(problem["lead"], Value::Null, "already known: nothing is stored");
        app.lead(&bob).await.expect(404);

        let again = world.connect().await;
        world.shows(&ada, "Pending").await;
        assert_eq!(again.lead_says(&ada, "status").await, "pending");
        again.lead(&bob).await.expect(404);
    }
}

scenario! {
    async fn an_incoming_connection_409_and_nothing_is_stored(setup: Setup) {
        let world = setup.start().await;
        let (app, ada) = (world.authorize().await, world.person());
        app.press(&ada).await.expect_problem(409, "connection-not-ready");
        app.connection_added().await.expect(201);
        app.lead(&ada).await.expect(404);
    }
}

scenario! {
    async fn a_leaving_connection_409_and_nothing_is_sent(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let hold = world.alc.faults().hold("delete_webhook", Stage::Before);
        app.connection_removed().await.expect(202);
        app.press(&ada).await.expect_problem(409, "connection-not-ready");
        hold.release();
        assert_eq!(world.alc.journal().count("create_lead"), 0);
    }
}

scenario! {
    async fn a_press_on_a_live_lead_200_and_alc_is_not_called_again(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let first = app.press(&ada).await.expect(201).json();
        let second = app.press(&ada).await.expect(200).json();
        assert_eq!(second["lead_id"], first["lead_id"]);
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    }
}

scenario! {
    async fn presses_at_once_send_once(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let presses = (0..8).map(|_| app.press(&ada));
        let answers = futures_util::future::join_all(presses).await;
        assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status)), "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    }
}

scenario! {
    async fn a_press_on_a_finished_lead_is_a_new_send(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let first = app.press(&ada).await.expect(201).json();
        world.call_back(&ada, "unreachable").await;
        world.shows(&ada, "Complete").await;

        let second = app.press(&ada).await.expect(201).json();
        assert_ne!(second["lead_id"], first["lead_id"]);
        assert_eq!((&second["status"], &second["result"]), (&json!("pending"), &Value::Null));
        world.shows(&ada, "Pending").await;
        let sent = world.alc.leads_of(&ada.record_id);
        assert_ne!(sent[0].idempotency_key, sent[1].idempotency_key, "each send has a key of its own");
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        assert_eq!(world.attio.history(&ada.record_id), ["Pending", "Complete", "Pending", "Complete"]);
    }
}

scenario! {
    async fn attio_is_down_201_all_the_same(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.attio.server().go_down().await;
        app.press(&ada).await.expect(201);
        assert_eq!(app.lead_says(&ada, "attio").await, "scheduled");
        world.attio.server().come_up().await;
        let shown = async || world.attio.status(&ada.record_id).as_deref() == Some("Pending");
        world.pass_until("Attio shows it", MINUTE, HOUR, shown).await;
    }
}

scenario! {
    async fn a_caller_that_hangs_up_changes_nothing(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let hold = world.alc.faults().hold("create_lead", Stage::After);
        let caller = crate::support::raw::post_lead(&world, &app, &ada).await;
        hold.reached(1).await;
        caller.reset();
        hold.release();
        eventually("it goes on", async || (app.lead(&ada).await.json()["status"] == "pending").then_some(())).await;
        world.shows(&ada, "Pending").await;
        assert_eq!(world.alc.journal().count("create_lead"), 1, "and once");
    }
}
