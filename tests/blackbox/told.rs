//! Operations `sendLead` and `alcCallback`: every result and every refusal is told, and no send is finished by a call
//! that cannot be about it.

use std::time::Duration;

use sandbox::{Callback, Fault, Stage};
use serde_json::{Value, json};

use crate::support::{
    ambient::spawn,
    harness::{DAY, HOUR, MINUTE, Setup, run, scenario},
};

scenario! {
    async fn a_result_of_a_send_that_alc_refused_reaches_attio(setup: Setup) {
        let (world, app) = setup.connected().await;
        for status in [422, 409] {
            let ada = world.person();
            world.alc.faults().next("create_lead", Fault::status(status));
            app.press(&ada).await.expect_problem(422, "lead-rejected");
            world.tell(Callback::new(&ada.record_id, "qualified").without_lead_id(), 200).await;
            world.shows(&ada, "Complete").await;
            world.synced(&app, &ada).await;
            let lead = app.lead(&ada).await.json();
            assert_eq!((&lead["status"], &lead["result"]), (&json!("complete"), &json!("qualified")));
        }
    }
}

scenario! {
    async fn a_result_that_comes_after_its_deadline_and_a_refused_press_reaches_attio(setup: Setup) {
        let (world, app) = setup.with("LEADS__DEADLINE", "1d").with("ALC__POLL_AFTER", "0s").connected().await;
        let ada = world.person();
        let first = app.press(&ada).await.expect(201).json();
        let failed = async || world.attio.status(&ada.record_id).as_deref() == Some("Failed");
        world.pass_until("the deadline passes", HOUR, DAY * 2, failed).await;
        // ALC still chats.
        world.alc.faults().next("create_lead", Fault::status(409));
        app.press(&ada).await.expect_problem(422, "lead-rejected");
        let lead_id = first["lead_id"].as_str().expect("an id");
        world.tell(Callback::new(&ada.record_id, "qualified").lead_id(lead_id), 200).await;
        world.shows(&ada, "Complete").await;
        assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some("qualified"));
    }
}

scenario! {
    async fn a_result_of_an_earlier_send_changes_nothing_of_the_one_that_follows(setup: Setup) {
        let setup = setup.impatient().with("LEADS__DEADLINE", "1d").with("ALC__POLL_AFTER", "0s");
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let first = app.press(&ada).await.expect(201).json();
        let failed = async || world.attio.status(&ada.record_id).as_deref() == Some("Failed");
        world.pass_until("the deadline passes", HOUR, DAY * 2, failed).await;
        world.synced(&app, &ada).await;
        world.alc.faults().next("create_lead", Fault::status_with(429, ("retry-after", "60"), json!({})));
        world.while_time_passes(app.press(&ada)).await.expect(202);
        let lead_id = first["lead_id"].as_str().expect("an id");
        world.tell(Callback::new(&ada.record_id, "unreachable").lead_id(lead_id), 200).await;
        world.pass_slowly(Duration::from_millis(100), 10).await;
        let lead = app.lead(&ada).await.json();
        assert_eq!((&lead["status"], &lead["result"]), (&json!("queued"), &Value::Null));
        assert_eq!(world.attio.status(&ada.record_id).as_deref(), Some("Failed"), "the second send is not complete");
        let pending = async || world.attio.status(&ada.record_id).as_deref() == Some("Pending");
        world.pass_until("it goes out", Duration::from_secs(1), MINUTE * 3, pending).await;
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some("qualified"));
    }
}

scenario! {
    async fn a_late_repeat_finishes_no_send_that_never_reached_alc(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        let limiting = Fault::status_with(429, ("retry-after", "2"), json!({}));
        world.alc.faults().times("create_lead", 2, limiting);
        let pressed = spawn({ let (app, ada) = (app.clone(), ada.clone()); async move { app.press(&ada).await } });
        // Until the answer is written down, the lead may be there.
        let refused = async || app.lead(&ada).await.json()["last_error"].is_string();
        world.pass_until("ALC's answer is known", Duration::from_millis(100), MINUTE, refused).await;
        world.tell(Callback::new(&ada.record_id, "unreachable").without_lead_id(), 200).await;
        assert_eq!(app.lead_says(&ada, "status").await, "queued", "nobody has contacted the person");
        world.while_time_passes(pressed).await.expect("an answer");
        world.shows(&ada, "Pending").await;
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn a_full_limit_is_no_failure_of_the_lead(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.faults().times("create_lead", 6, Fault::status_with(429, ("retry-after", "20"), json!({})));
        world.while_time_passes(app.press(&ada)).await.expect(202);
        let pending = async || app.lead_says(&ada, "status").await == "pending";
        // Six pauses of twenty seconds; the schedule would have come to half an hour by then.
        world.pass_until("it goes out", Duration::from_secs(1), MINUTE * 3, pending).await;
    }
}

scenario! {
    async fn a_look_up_that_fails_keeps_none_of_alcs_words(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.faults().next("create_lead", Fault::status(500));
        let words = json!({ "message": format!("no index for {}", ada.name) });
        world.alc.faults().times("list_leads", 2, Fault::status_with(500, ("content-type", "application/json"), words));
        world.while_time_passes(app.press(&ada)).await.expect(202);
        let asked = async || world.alc.journal().count("list_leads") >= 1;
        world.pass_until("ALC is asked", Duration::from_secs(1), HOUR, asked).await;
        let said = async || app.lead_says(&ada, "last_error").await.as_str().is_some_and(|error| error.contains("asked"));
        world.pass_until("the failure is noted", Duration::from_millis(50), MINUTE, said).await;
        let error = app.lead_says(&ada, "last_error").await.to_string();
        assert!(!error.contains("Ada") && !error.contains("Lovelace"), "{error}");
    }
}

/// The key under which Redis keeps the lead that was sent.
fn key_of_the_lead(keys: &str) -> String {
    let key = keys.lines().find(|line| line.contains("lead:") && !line.starts_with(['*', '$']));
    key.expect("a lead is stored").trim().to_owned()
}

#[test]
fn a_fail_over_that_loses_alcs_answer_does_not_send_again() {
    run(async {
        // ALC can neither look up nor tell a repeat by its key.
        let (mut world, app) = Setup::redis().minimal_alc().alc(|alc| alc.idempotency = false).connected().await;
        let ada = world.person();
        let posting = world.alc.faults().hold("create_lead", Stage::After);
        let patching = world.attio.faults().hold("patch_record", Stage::Before);
        let pressed = spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press(&ada).await }
        });
        posting.reached(1).await;
        let key = key_of_the_lead(&world.redis().command(&format!("KEYS *{}*", ada.record_id)));
        let copied = world.redis().command(&format!("COPY {key} {key}:before"));
        assert!(copied.starts_with(":1"), "{copied}");
        posting.release();
        pressed.await.expect("an answer").expect(201);
        patching.reached(1).await;
        // The replica that takes over has not heard of ALC's answer.
        let restored = world.redis().command(&format!("COPY {key}:before {key} REPLACE"));
        assert!(restored.starts_with(":1"), "{restored}");
        patching.release();
        let pending = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it is pending again", Duration::from_secs(1), HOUR, pending).await;
        world.pass_slowly(MINUTE, 5).await;
        assert_eq!(world.alc.journal().count("create_lead"), 1, "one SMS");
        assert_ne!(app.lead_says(&ada, "lead_id").await, Value::Null);
    });
}

#[test]
fn a_fail_over_that_loses_alcs_answer_loses_no_result_that_came_after_it() {
    run(async {
        let (mut world, app) = Setup::redis().connected().await;
        let ada = world.person();
        let posting = world.alc.faults().hold("create_lead", Stage::After);
        let patching = world.attio.faults().hold("patch_record", Stage::Before);
        let pressed = spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press(&ada).await }
        });
        posting.reached(1).await;
        let key = key_of_the_lead(&world.redis().command(&format!("KEYS *{}*", ada.record_id)));
        assert!(world.redis().command(&format!("COPY {key} {key}:before")).starts_with(":1"));
        posting.release();
        pressed.await.expect("an answer").expect(201);
        patching.reached(1).await;
        // The replica that takes over has not heard of ALC's answer. The callback is the next that it writes, and
        // counts on from where the lost commit did.
        assert!(world.redis().command(&format!("COPY {key}:before {key} REPLACE")).starts_with(":1"));
        world.call_back(&ada, "qualified").await;
        patching.release();
        world.shows(&ada, "Complete").await;
        assert_eq!(app.lead_says(&ada, "result").await, "qualified");
    });
}

#[test]
fn what_alc_answered_outlives_a_long_outage_of_the_store() {
    run(async {
        // ALC can neither look up nor tell a repeat by its key.
        let (mut world, app) = Setup::redis().minimal_alc().alc(|alc| alc.idempotency = false).connected().await;
        let ada = world.person();
        let posting = world.alc.faults().hold("create_lead", Stage::After);
        let pressed = spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press(&ada).await }
        });
        posting.reached(1).await;
        world.redis().kill();
        posting.release();
        // Longer than Sentinel waits by default before it looks for another primary.
        world.pass_slowly(Duration::from_secs(10), 4).await;
        world.redis().start_again();
        world.while_time_passes(pressed).await.expect("an answer");
        let pending = async || app.lead(&ada).await.json()["status"] == "pending";
        world.pass_until("it is pending", Duration::from_secs(1), MINUTE * 5, pending).await;
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(world.alc.journal().count("create_lead"), 1, "one SMS");
    });
}

#[test]
fn a_full_store_takes_no_new_sends_of_a_batch_either() {
    run(async {
        let (mut world, app) = Setup::redis().connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.synced(&app, &ada).await;
        assert!(world.redis().command("CONFIG SET maxmemory 1").starts_with("+OK"));
        let lead = json!({ "record_id": ada.record_id, "name": ada.name, "phone_number": ada.phone });
        let request = app.request(reqwest::Method::POST, "/v1/leads/batch").json(&json!({ "leads": [lead] }));
        let results = crate::support::http::send(request).await.expect(202).json();
        assert_eq!(results["results"][0]["problem"]["status"], 503, "{results}");
        assert!(world.redis().command("CONFIG SET maxmemory 0").starts_with("+OK"));
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1);
        assert_eq!(app.lead_says(&ada, "status").await, "complete");
    });
}
