//! Operations `sendLead` with `finish_callback_url`, `putTrigger` and `deleteTrigger`: each workflow that waits for a
//! lead is told once the lead has finished (callback `finished`).

use std::time::Duration;

use jiff::SignedDuration;
use sandbox::{Fault, Stage};
use serde_json::{Value, json};

use crate::support::{
    ambient::{eventually, spawn},
    attio_app::{AttioApp, lead_body},
    harness::{DAY, HOUR, MINUTE, Person, Setup, World, scenario},
    http::{Answer, send},
};

const SECOND: Duration = Duration::from_secs(1);

/// The button of a deferred workflow step.
async fn press_and_wait(world: &World, app: &AttioApp, person: &Person, step: &str, key: Option<&str>) -> Answer {
    let mut body = lead_body(person);
    body["finish_callback_url"] = world.attio.callback_url(step).into();
    let mut request = app.request(reqwest::Method::POST, "/v1/leads").json(&body);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    send(request).await
}

async fn told(world: &World, step: &str, count: usize) -> Vec<Value> {
    let what = format!("{step} is told {count} times");
    world.pass_until(&what, SECOND, MINUTE * 10, async || world.attio.told(step).len() >= count).await;
    world.attio.told(step)
}

fn calls(world: &World, step: &str) -> usize {
    let path = format!("/callbacks/{step}");
    world.attio.journal().requests("workflow_callback").iter().filter(|seen| seen.path == path).count()
}

async fn put_trigger(world: &World, app: &AttioApp, activation: &str) -> Answer {
    let body = json!({ "callback_url": world.attio.callback_url(activation) });
    send(app.request(reqwest::Method::PUT, &format!("/v1/triggers/{activation}")).json(&body)).await
}

async fn delete_trigger(app: &AttioApp, activation: &str) -> Answer {
    send(app.request(reqwest::Method::DELETE, &format!("/v1/triggers/{activation}"))).await
}

scenario! {
    async fn a_waiting_step_is_told_the_result_once_and_not_before(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let lead = press_and_wait(&world, &app, &ada, "step", None).await.expect(201).json();
        world.shows(&ada, "Pending").await;
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(calls(&world, "step"), 0, "not before it has finished");
        world.call_back(&ada, "qualified").await;
        let news = told(&world, "step", 1).await;
        let expected = json!({
            "record_id": ada.record_id, "lead_id": lead["lead_id"], "status": "complete", "result": "qualified",
            "reason": null,
        });
        assert_eq!(news, [expected]);
        world.shows(&ada, "Complete").await;
        world.pass_slowly(HOUR, 4).await;
        assert_eq!(calls(&world, "step"), 1, "a 2xx ends it");
    }
}

scenario! {
    async fn several_steps_wait_for_one_send_and_each_is_told(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        press_and_wait(&world, &app, &ada, "one", None).await.expect(201);
        press_and_wait(&world, &app, &ada, "two", None).await.expect(200);
        press_and_wait(&world, &app, &ada, "two", Some("k")).await.expect(200);
        press_and_wait(&world, &app, &ada, "three", Some("k")).await.expect(201);
        assert_eq!(world.alc.journal().count("create_lead"), 1);
        world.call_back(&ada, "qualified").await;
        for step in ["one", "two", "three"] {
            told(&world, step, 1).await;
        }
        // What was answered is written down before time goes on: a worker that is late by a minute has lost its lease.
        world.pass_slowly(Duration::from_millis(50), 40).await;
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!((calls(&world, "one"), calls(&world, "two"), calls(&world, "three")), (1, 1, 1), "once each");
    }
}

scenario! {
    async fn at_most_a_hundred_wait_for_one_send(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        press_and_wait(&world, &app, &ada, "step-0", None).await.expect(201);
        for number in 1..100 {
            press_and_wait(&world, &app, &ada, &format!("step-{number}"), None).await.expect(200);
        }
        press_and_wait(&world, &app, &ada, "step-100", None).await.expect_problem(422, "too-many-callbacks");
        press_and_wait(&world, &app, &ada, "step-7", None).await.expect(200);
        app.press(&ada).await.expect(200);
        world.call_back(&ada, "qualified").await;
        let all = async || (0..100).all(|number| world.attio.told(&format!("step-{number}")).len() == 1);
        world.pass_until("all are told", SECOND, MINUTE, all).await;
        assert_eq!(calls(&world, "step-100"), 0);
    }
}

scenario! {
    async fn a_repeat_of_the_key_on_a_finished_send_tells_again(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        press_and_wait(&world, &app, &ada, "step", Some("k")).await.expect(201);
        world.call_back(&ada, "qualified").await;
        told(&world, "step", 1).await;
        press_and_wait(&world, &app, &ada, "step", Some("k")).await.expect(201);
        let news = told(&world, "step", 2).await;
        assert_eq!(news[0], news[1]);
        // Also once another send of the record is under way.
        app.press(&ada).await.expect(201);
        press_and_wait(&world, &app, &ada, "step", Some("k")).await.expect(201);
        assert_eq!(told(&world, "step", 3).await[2], news[0], "of its own send");
        assert_eq!(world.alc.journal().count("create_lead"), 2);
    }
}

scenario! {
    async fn an_early_404_is_tried_again_and_a_later_one_ends_it(setup: Setup) {
        let (world, app) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        world.attio.faults().next("workflow_callback", Fault::status(404));
        press_and_wait(&world, &app, &ada, "early", None).await.expect(201);
        world.call_back(&ada, "qualified").await;
        told(&world, "early", 1).await;
        assert_eq!(calls(&world, "early"), 2, "Attio's own bookkeeping was behind");

        world.attio.faults().always("workflow_callback", Fault::status(410));
        let late = world.now() + SignedDuration::from_mins(15);
        press_and_wait(&world, &app, &bob, "gone", None).await.expect(201);
        world.call_back(&bob, "qualified").await;
        world.pass_until("it is tried", SECOND, MINUTE * 10, async || calls(&world, "gone") > 1).await;
        let last = || world.attio.journal().requests("workflow_callback").last().map(|seen| seen.at);
        let tried = async || last().is_some_and(|at| at >= late);
        world.pass_until("it is tried after a quarter of an hour", MINUTE, HOUR * 4, tried).await;
        world.pass_slowly(SECOND, 5).await;
        let calls_then = calls(&world, "gone");
        world.attio.faults().clear("workflow_callback");
        world.pass_slowly(HOUR * 3, 4).await;
        assert_eq!((calls(&world, "gone"), world.attio.told("gone").len()), (calls_then, 0), "it has ended");
    }
}

scenario! {
    async fn a_404_after_a_quarter_of_an_hour_ends_it_at_once(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.attio.faults().always("workflow_callback", Fault::status(404));
        press_and_wait(&world, &app, &ada, "gone", None).await.expect(201);
        world.pass(MINUTE * 16).await;
        world.call_back(&ada, "qualified").await;
        world.pass_until("it is tried", SECOND, MINUTE * 10, async || calls(&world, "gone") == 1).await;
        world.attio.faults().clear("workflow_callback");
        world.pass_slowly(HOUR * 3, 4).await;
        assert_eq!(calls(&world, "gone"), 1);
    }
}

scenario! {
    async fn any_other_answer_is_tried_again_until_it_is_heard_and_delays_nothing(setup: Setup) {
        let (world, app) = setup.impatient().with("RETRY__SCHEDULE", "1m").connected().await;
        let ada = world.person();
        let answers = [500, 400, 401, 403, 302].map(Fault::status);
        for fault in answers.into_iter().chain([Fault::Reset, Fault::Hang]) {
            world.attio.faults().next("workflow_callback", fault);
        }
        press_and_wait(&world, &app, &ada, "step", None).await.expect(201);
        // A 404 would end it from now on.
        world.pass(MINUTE * 16).await;
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        let heard = async || world.attio.told("step").len() == 1;
        world.pass_until("it is heard", MINUTE, HOUR * 3, heard).await;
        assert!(calls(&world, "step") >= 8, "{}", calls(&world, "step"));
    }
}

scenario! {
    async fn it_is_given_up_after_the_deadline(setup: Setup) {
        let (world, app) = setup.with("LEADS__DEADLINE", "2d").connected().await;
        let ada = world.person();
        world.attio.faults().always("workflow_callback", Fault::status(500));
        press_and_wait(&world, &app, &ada, "deaf", None).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.pass_slowly(HOUR * 3, 18).await;
        let calls_then = calls(&world, "deaf");
        assert!(calls_then > 10, "{calls_then}");
        world.attio.faults().clear("workflow_callback");
        world.pass_slowly(HOUR * 12, 4).await;
        assert_eq!(calls(&world, "deaf"), calls_then);
    }
}

scenario! {
    async fn what_is_owed_of_a_send_is_kept_when_another_begins(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.attio.faults().always("workflow_callback", Fault::status(500));
        let first = press_and_wait(&world, &app, &ada, "first", None).await.expect(201).json();
        world.call_back(&ada, "qualified").await;
        let second = press_and_wait(&world, &app, &ada, "second", None).await.expect(201).json();
        world.call_back(&ada, "lost").await;
        world.attio.faults().clear("workflow_callback");
        let both = async || !world.attio.told("first").is_empty() && !world.attio.told("second").is_empty();
        world.pass_until("both are told", MINUTE, HOUR, both).await;
        let (one, two) = (world.attio.told("first"), world.attio.told("second"));
        assert_eq!((one[0]["result"].as_str(), &one[0]["lead_id"]), (Some("qualified"), &first["lead_id"]));
        assert_eq!((two[0]["result"].as_str(), &two[0]["lead_id"]), (Some("lost"), &second["lead_id"]));
        assert_eq!((one.len(), two.len()), (1, 1));
    }
}

scenario! {
    async fn what_is_owed_of_a_send_is_kept_also_if_another_begins_before_it_was_written_down(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        // The worker that holds the lead's lease waits for Attio, and sees neither the end nor the press after it.
        let hold = world.attio.faults().hold("patch_record", Stage::Before);
        press_and_wait(&world, &app, &ada, "first", None).await.expect(201);
        hold.reached(1).await;
        world.call_back(&ada, "qualified").await;
        let mut body = lead_body(&ada);
        body["finish_callback_url"] = world.attio.callback_url("second").into();
        let pressed = spawn({ let app = app.clone(); async move { app.press_body(&body).await } });
        eventually("another send has begun", async || (app.lead_says(&ada, "status").await == "queued").then_some(())).await;
        hold.release();
        pressed.await.expect("an answer").expect(201);
        world.call_back(&ada, "lost").await;
        let (one, two) = (told(&world, "first", 1).await, told(&world, "second", 1).await);
        assert_eq!((&one[0]["result"], &two[0]["result"]), (&json!("qualified"), &json!("lost")));
    }
}

scenario! {
    async fn a_deadline_is_told_as_failed(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        press_and_wait(&world, &app, &ada, "step", None).await.expect(201);
        world.pass_until("it is told", HOUR * 12, DAY * 60, async || !world.attio.told("step").is_empty()).await;
        let news = &world.attio.told("step")[0];
        let expected = (&json!("failed"), &Value::Null, &json!("timed-out"));
        assert_eq!((&news["status"], &news["result"], &news["reason"]), expected);
    }
}

scenario! {
    async fn a_refusal_is_told_too_inside_the_request_and_behind_it(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let (ada, bob) = (world.person(), world.person());
        world.alc.faults().next("create_lead", Fault::status(400));
        press_and_wait(&world, &app, &ada, "inside", None).await.expect(422);
        world.alc.faults().next("create_lead", Fault::status(503));
        world.alc.faults().next("create_lead", Fault::status(400));
        press_and_wait(&world, &app, &bob, "behind", None).await.expect(202);
        for step in ["inside", "behind"] {
            let news = told(&world, step, 1).await;
            assert_eq!((&news[0]["status"], &news[0]["reason"]), (&json!("failed"), &json!("rejected")), "{step}");
        }
    }
}

scenario! {
    async fn a_url_that_may_not_be_called_is_refused_by_host_and_variable(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        for (url, host) in [
            ("https://example.com/secret", "example.com"),
            ("https://169.254.169.254/secret", "169.254.169.254"),
            ("http://localhost/secret", "localhost"),
            ("http://api.attio.com/secret", "api.attio.com"),
            ("https://[::ffff:10.0.0.1]/secret", "[::ffff:a00:1]"),
        ] {
            let mut body = lead_body(&ada);
            body["finish_callback_url"] = url.into();
            let problem = app.press_body(&body).await.expect_problem(400, "invalid-request");
            let fault = &problem.json()["errors"][0];
            assert_eq!(fault["pointer"], "/finish_callback_url");
            let detail = fault["detail"].as_str().expect("words");
            assert!(detail.contains(host) && detail.contains("ATTIO__CALLBACK_HOSTS"), "{detail}");
            assert!(!problem.body.contains("secret"), "{}", problem.body);
            let trigger = app.request(reqwest::Method::PUT, "/v1/triggers/a").json(&json!({ "callback_url": url }));
            let fault = send(trigger).await.expect_problem(400, "invalid-request").json();
            assert_eq!(fault["errors"][0]["pointer"], "/callback_url");
        }
        app.lead(&ada).await.expect(404);
    }
}

scenario! {
    async fn a_trigger_is_told_of_every_lead_that_finishes_from_then_on(setup: Setup) {
        let (world, app) = setup.connected().await;
        let (before, ada, bob, after) = (world.person(), world.person(), world.person(), world.person());
        app.press(&before).await.expect(201);
        world.call_back(&before, "qualified").await;
        world.shows(&before, "Complete").await;
        app.press(&ada).await.expect(201);

        put_trigger(&world, &app, "trigger").await.expect(201);
        put_trigger(&world, &app, "trigger").await.expect(200);
        world.call_back(&ada, "qualified").await;
        told(&world, "trigger", 1).await;
        world.alc.faults().next("create_lead", Fault::status(400));
        app.press(&bob).await.expect(422);
        let news = told(&world, "trigger", 2).await;
        assert_eq!((&news[0]["record_id"], &news[0]["result"]), (&json!(ada.record_id), &json!("qualified")));
        assert_eq!((&news[1]["record_id"], &news[1]["reason"]), (&json!(bob.record_id), &json!("rejected")));

        delete_trigger(&app, "trigger").await.expect(204);
        delete_trigger(&app, "trigger").await.expect(204);
        app.press(&after).await.expect(201);
        world.call_back(&after, "qualified").await;
        world.shows(&after, "Complete").await;
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(calls(&world, "trigger"), 2, "neither of what was before nor of what came after");
    }
}

scenario! {
    async fn a_trigger_is_not_told_of_what_had_finished_before_it(setup: Setup) {
        let (world, app) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        for person in [&ada, &bob] {
            app.press(person).await.expect(201);
            world.shows(person, "Pending").await;
        }
        // Attio is away, so that there is something left to do when the trigger comes.
        world.attio.faults().always("patch_record", Fault::status(503));
        world.call_back(&ada, "qualified").await;
        world.call_back(&bob, "qualified").await;
        world.pass_slowly(SECOND, 3).await;
        put_trigger(&world, &app, "trigger").await.expect(201);
        // Another send of a record whose last one had finished by then.
        app.press(&bob).await;
        world.attio.faults().clear("patch_record");
        for (person, status) in [(&ada, "Complete"), (&bob, "Pending")] {
            let shown = async || app.lead_says(person, "attio").await == "synced";
            world.pass_until("it is shown", SECOND, HOUR, shown).await;
            assert_eq!(world.attio.status(&person.record_id).as_deref(), Some(status));
        }
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(calls(&world, "trigger"), 0);
    }
}

scenario! {
    async fn a_trigger_that_was_taken_away_is_not_tried_again(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        put_trigger(&world, &app, "trigger").await.expect(201);
        world.attio.faults().always("workflow_callback", Fault::status(500));
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.pass_until("it is tried", SECOND, MINUTE * 10, async || calls(&world, "trigger") > 0).await;
        delete_trigger(&app, "trigger").await.expect(204);
        world.pass_slowly(SECOND, 3).await;
        let calls_then = calls(&world, "trigger");
        world.attio.faults().clear("workflow_callback");
        world.pass_slowly(HOUR, 4).await;
        assert_eq!(calls(&world, "trigger"), calls_then);
    }
}

scenario! {
    async fn a_workspace_has_at_most_a_hundred_triggers(setup: Setup) {
        let (world, app) = setup.connected().await;
        for number in 0..100 {
            put_trigger(&world, &app, &format!("t{number}")).await.expect(201);
        }
        put_trigger(&world, &app, "one-too-many").await.expect_problem(422, "too-many-callbacks");
        put_trigger(&world, &app, "t7").await.expect(200);
        delete_trigger(&app, "t8").await.expect(204);
        put_trigger(&world, &app, "t100").await.expect(201);
    }
}

scenario! {
    async fn a_restart_forgets_nobody(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        let ada = world.person();
        put_trigger(&world, &app, "trigger").await.expect(201);
        world.attio.faults().always("workflow_callback", Fault::status(500));
        press_and_wait(&world, &app, &ada, "step", None).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.pass_until("both are tried", SECOND, MINUTE, async || {
            calls(&world, "step") > 0 && calls(&world, "trigger") > 0
        }).await;
        world.restart().await;
        world.attio.faults().clear("workflow_callback");
        let both = async || world.attio.told("step").len() == 1 && world.attio.told("trigger").len() == 1;
        world.pass_until("both are told", MINUTE, HOUR * 3, both).await;
    }
}
