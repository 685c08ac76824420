//! Operation `alcCallback`: ALC calls back.

use alc_connector::clock::earlier;
use sandbox::{Callback, Fault, Stage, alc};
use serde_json::{Value, json};

use crate::support::{
    ambient::{eventually, spawn},
    attio_app::AttioApp,
    harness::{HOUR, MINUTE, Person, Setup, World, scenario},
    http::send,
};

/// A person whose lead is pending, in Attio too.
async fn pending(setup: Setup) -> (World, AttioApp, Person) {
    let (world, app) = setup.connected().await;
    let ada = world.person();
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.synced(&app, &ada).await;
    (world, app, ada)
}

/// Complete, with this result, in Attio and here; nothing else was ever shown.
async fn completes(world: &World, app: &AttioApp, person: &Person, result: &str) {
    world.shows(person, "Complete").await;
    assert_eq!(world.attio.value(&person.record_id, "alc_result").as_deref(), Some(result));
    world.synced(app, person).await;
    let lead = app.lead(person).await.expect(200).json();
    assert_eq!((&lead["status"], &lead["result"]), (&json!("complete"), &json!(result)));
}

/// Nothing changed: still pending.
async fn still_pending(world: &World, app: &AttioApp, person: &Person) {
    world.pass_slowly(MINUTE, 1).await;
    assert_eq!(app.lead_says(person, "status").await, "pending");
    assert_eq!(world.attio.history(&person.record_id), ["Pending"]);
}

scenario! {
    async fn all_forms_of_a_callback_are_understood(setup: Setup) {
        let (world, app, _) = pending(setup).await;
        let forms: [fn(Callback) -> Callback; 6] = [
            |callback| callback.camel_case(),
            |callback| callback.without_event(),
            |callback| callback.without_lead_id(),
            |callback| callback.content_type(""),
            |callback| callback.content_type("application/vnd.alc+json; charset=utf-8"),
            |callback| callback.field("conversation", json!([{ "text": "unknown fields are ignored" }])),
        ];
        for form in forms {
            let ada = world.person();
            app.press(&ada).await.expect(201);
            world.tell(form(Callback::new(&ada.record_id, "qualified")), 200).await;
            completes(&world, &app, &ada, "qualified").await;
        }
    }
}

scenario! {
    async fn an_alc_with_numbers_for_ids(setup: Setup) {
        let (world, app, ada) = pending(setup.alc(|alc| alc.numeric_ids = true)).await;
        let id = world.alc.leads_of(&ada.record_id)[0].id.clone();
        assert_eq!(app.lead_says(&ada, "lead_id").await, id.as_str(), "numbers become strings");
        world.call_back(&ada, "qualified").await;
        completes(&world, &app, &ada, "qualified").await;
    }
}

scenario! {
    async fn duplicates_have_no_second_effect(setup: Setup) {
        let (world, app, ada) = pending(setup).await;
        let callback = Callback::new(&ada.record_id, "qualified").message_id("msg_1");
        for _ in 0..3 {
            world.tell(callback.clone(), 200).await;
        }
        completes(&world, &app, &ada, "qualified").await;
        let patches = world.attio.journal().count("patch_record");
        world.tell(callback, 200).await;
        world.tell(Callback::new(&ada.record_id, "qualified"), 200).await;
        world.pass_slowly(MINUTE, 2).await;
        assert_eq!(world.attio.journal().count("patch_record"), patches);
        assert_eq!(world.attio.history(&ada.record_id), ["Pending", "Complete"]);
    }
}

scenario! {
    async fn callbacks_at_once_finish_it_once(setup: Setup) {
        let (world, app, ada) = pending(setup).await;
        let calls = (0..10).map(|_| world.alc.call_back(Callback::new(&ada.record_id, "qualified")));
        let answers = futures_util::future::join_all(calls).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        completes(&world, &app, &ada, "qualified").await;
        assert_eq!(world.attio.history(&ada.record_id), ["Pending", "Complete"]);
    }
}

scenario! {
    async fn the_first_result_wins(setup: Setup) {
        let (world, app, ada) = pending(setup).await;
        world.call_back(&ada, "qualified").await;
        world.call_back(&ada, "unqualified").await;
        completes(&world, &app, &ada, "qualified").await;
    }
}

scenario! {
    async fn a_callback_that_overtakes_alcs_answer_is_kept(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let hold = world.alc.faults().hold("create_lead", Stage::After);
        let pressed = spawn({ let (app, ada) = (app.clone(), ada.clone()); async move { app.press(&ada).await } });
        hold.reached(1).await;
        world.call_back(&ada, "qualified").await;
        hold.release();
        let lead = pressed.await.expect("an answer").expect(201).json();
        assert_eq!(lead["status"], "complete");
        completes(&world, &app, &ada, "qualified").await;
        assert_eq!(world.attio.history(&ada.record_id), ["Complete"], "Pending is not written once the result is known");
    }
}

scenario! {
    async fn a_result_for_an_earlier_send_does_not_end_the_present_one(setup: Setup) {
        let (world, app, ada) = pending(setup).await;
        let first = world.alc.leads_of(&ada.record_id)[0].id.clone();
        world.call_back(&ada, "unreachable").await;
        completes(&world, &app, &ada, "unreachable").await;
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;

        world.tell(Callback::new(&ada.record_id, "qualified").lead_id(&first), 200).await;
        world.pass_slowly(MINUTE, 1).await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
        world.call_back(&ada, "qualified").await;
        completes(&world, &app, &ada, "qualified").await;
    }
}

scenario! {
    async fn a_repeat_of_an_earlier_sends_call_is_known_by_its_webhook_id(setup: Setup) {
        let (world, app, ada) = pending(setup).await;
        let old = Callback::new(&ada.record_id, "unreachable").without_lead_id().message_id("msg_old");
        world.tell(old.clone(), 200).await;
        completes(&world, &app, &ada, "unreachable").await;
        app.press(&ada).await.expect(201);
        world.tell(old, 200).await;
        world.pass_slowly(MINUTE, 1).await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
    }
}

scenario! {
    async fn a_repeat_before_the_present_send_was_attempted_is_not_for_it(setup: Setup) {
        let (world, app, ada) = pending(setup.impatient().alc(|alc| alc.secrets = false)).await;
        let bare = Callback::new(&ada.record_id, "unreachable").without_lead_id();
        world.tell(bare.clone(), 200).await;
        completes(&world, &app, &ada, "unreachable").await;
        world.alc.faults().always("token", Fault::status(503));
        world.pass_slowly(MINUTE * 30, 3).await;
        let attempts = world.alc.journal().count("create_lead");
        app.press(&ada).await.expect(202);
        assert_eq!(world.alc.journal().count("create_lead"), attempts, "no token, no attempt");
        world.tell(bare, 200).await;
        assert_eq!(app.lead_says(&ada, "status").await, "queued");
    }
}

scenario! {
    async fn a_record_that_was_never_sent_is_adopted(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.tell(Callback::new(&ada.record_id, "qualified").lead_id("of-somebody-else"), 200).await;
        completes(&world, &app, &ada, "qualified").await;
        assert_eq!(world.attio.value(&ada.record_id, "alc_lead_id").as_deref(), Some("of-somebody-else"));
        assert_eq!(world.attio.history(&ada.record_id), ["Complete"]);
    }
}

scenario! {
    async fn what_is_no_result_finishes_nothing(setup: Setup) {
        let (world, app, ada) = pending(setup).await;
        for unfinished in ["processing", "pending", "queued", "Processing"] {
            world.tell(Callback::new(&ada.record_id, unfinished), 200).await;
        }
        world.tell(Callback::new(&ada.record_id, "qualified").event("lead.created"), 200).await;
        still_pending(&world, &app, &ada).await;
        world.call_back(&ada, "failed").await;
        completes(&world, &app, &ada, "failed").await;
    }
}

scenario! {
    async fn what_is_malformed_is_named(setup: Setup) {
        let (world, app, ada) = pending(setup).await;
        for body in ["no json", "[]", "{}", r#"{"record_id": "x", "status": "qualified"}"#] {
            let answer = world.tell(Callback::new(&ada.record_id, "qualified").body(body), 400).await;
            assert!(answer.body.contains("invalid-request"), "{body}: {}", answer.body);
        }
        let no_status = json!({ "record_id": ada.record_id, "status": "" }).to_string();
        world.tell(Callback::new(&ada.record_id, "x").body(&no_status), 400).await;
        still_pending(&world, &app, &ada).await;
    }
}

scenario! {
    async fn without_a_right_signature_nothing_changes(setup: Setup) {
        let (world, app, ada) = pending(setup).await;
        let callback = Callback::new(&ada.record_id, "qualified");
        world.tell(callback.clone().unsigned(), 401).await;
        world.tell(callback.clone().wrongly_signed(), 401).await;
        world.tell(callback.clone().timestamp(earlier(world.now(), MINUTE * 6)), 401).await;
        still_pending(&world, &app, &ada).await;
        world.tell(callback.timestamp(earlier(world.now(), MINUTE * 4)), 200).await;
        completes(&world, &app, &ada, "qualified").await;
    }
}

scenario! {
    async fn where_signatures_are_off_none_is_asked_for(setup: Setup) {
        let (world, app, ada) = pending(setup.with("ALC__WEBHOOK_SIGNATURE", "off")).await;
        world.tell(Callback::new(&ada.record_id, "qualified").unsigned(), 200).await;
        completes(&world, &app, &ada, "qualified").await;
    }
}

scenario! {
    async fn an_unknown_url_is_gone(setup: Setup) {
        let (world, _, ada) = pending(setup).await;
        let good = world.alc.webhooks()[0].url.clone();
        let mut wrong = good.clone();
        wrong.pop();
        let elsewhere = format!("{}/webhooks/alc/not-one-of-ours", world.url());
        let body = json!({ "record_id": ada.record_id, "status": "qualified" });
        for url in [wrong, format!("{good}x"), elsewhere] {
            send(world.client.post(url).json(&body)).await.expect_problem(410, "webhook-gone");
        }
    }
}

scenario! {
    async fn attio_is_down_200_all_the_same_and_it_is_shown_later(setup: Setup) {
        let (world, app, ada) = pending(setup.impatient()).await;
        world.attio.server().go_down().await;
        world.call_back(&ada, "qualified").await;
        assert_eq!(app.lead_says(&ada, "status").await, "complete");
        world.attio.server().come_up().await;
        let shown = async || world.attio.status(&ada.record_id).as_deref() == Some("Complete");
        world.pass_until("Attio shows it", MINUTE, HOUR, shown).await;
    }
}

scenario! {
    async fn a_callback_to_an_alc_of_two_words_is_enough(setup: Setup) {
        let (world, app, ada) = pending(setup.alc(|settings| *settings = alc::Settings::minimal())).await;
        world.call_back(&ada, "qualified").await;
        completes(&world, &app, &ada, "qualified").await;
        eventually("no error is left", async || {
            (app.lead_says(&ada, "last_error").await == Value::Null).then_some(())
        })
        .await;
    }
}
