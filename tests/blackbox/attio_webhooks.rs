//! Operation `attioEvents`: Attio tells of merged and deleted records.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use sandbox::{
    Callback, Fault, Stage,
    attio::{refusal, sign},
};
use serde_json::json;

use crate::support::{
    ambient::spawn,
    attio_app::AttioApp,
    harness::{HOUR, MINUTE, Person, Setup, World, scenario},
    http::send,
};

/// Connected, at an Attio that takes a URL without TLS.
async fn subscribed(setup: Setup) -> (World, AttioApp) {
    let world = setup.start().await;
    world.attio.configure(|attio| attio.https_webhooks_only = false);
    let app = world.connect().await;
    assert_eq!(world.attio.webhooks().len(), 1);
    (world, app)
}

/// The same person under another record.
fn at(record_id: &str, person: &Person) -> Person {
    Person { record_id: record_id.to_owned(), ..person.clone() }
}

/// Tells that both records became `made`.
async fn tell_merge(world: &World, made: &str, originals: [&Person; 2]) {
    for original in originals {
        let event = world.attio.merged_event(made, &original.record_id);
        assert_eq!(world.attio.deliver(vec![event]).await, [200]);
    }
}

fn patches_of(world: &World, record_id: &str) -> usize {
    let path = format!("/records/{record_id}");
    world.attio.journal().requests("patch_record").iter().filter(|seen| seen.path.ends_with(&path)).count()
}

scenario! {
    async fn subscribed_at_connect_and_removed_with_the_connection(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let webhook = world.attio.webhooks()[0].clone();
        let wanted: Vec<_> = webhook.subscriptions.as_array().expect("a list").iter().map(|one| one["event_type"].clone()).collect();
        assert_eq!(wanted, [json!("record.merged"), json!("record.deleted")]);
        assert!(webhook.target_url.starts_with(&format!("{}/webhooks/attio/", world.url())));
        app.connection_removed().await.expect(202);
        let gone = async || world.attio.webhooks().is_empty();
        world.pass_until("it is gone at Attio", MINUTE, HOUR, gone).await;
        let answered = async || {
            let body = json!({ "events": [] }).to_string();
            world.attio.call(&webhook.target_url, body.as_str(), Some(&sign(&webhook.secret, &body))).await == 410
        };
        world.pass_until("it is gone here", MINUTE, HOUR, answered).await;
    }
}

scenario! {
    async fn without_the_key_that_opens_its_token_it_is_not_given_up(setup: Setup) {
        let (mut world, app) = subscribed(setup.attio_grants()).await;
        world.attio.faults().always("delete_webhook", Fault::status(503));
        app.connection_removed().await.expect(202);
        let key = world.settings.get("KEYS__SEALING");
        // An operator has set another key, and forgotten the previous one.
        world.settings.set("KEYS__SEALING", &STANDARD.encode([7; 32]));
        world.restart().await;
        world.attio.faults().clear("delete_webhook");
        world.pass_slowly(HOUR, 3).await;
        assert_eq!(world.attio.webhooks().len(), 1, "it cannot be deleted");
        world.settings.set("KEYS__SEALING", &key);
        world.restart().await;
        let gone = async || world.attio.webhooks().is_empty();
        world.pass_until("it is gone at Attio", HOUR, HOUR * 24, gone).await;
    }
}

scenario! {
    async fn a_takeover_leaves_one_webhook(setup: Setup) {
        let (world, _old) = subscribed(setup).await;
        let old = world.attio.webhooks()[0].webhook_id.clone();
        world.connect().await;
        let replaced = async || {
            let webhooks = world.attio.webhooks();
            webhooks.len() == 1 && webhooks[0].webhook_id != old
        };
        world.pass_until("the old one is gone", MINUTE, HOUR, replaced).await;
    }
}

scenario! {
    async fn a_webhook_that_is_gone_already_holds_nothing_up(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        world.attio.faults().always("delete_webhook", refusal(404, "not_found", "Webhook not found"));
        app.connection_removed().await.expect(202);
        let over = async || app.connection().await.status == 401;
        // Sooner than the access token expires by itself.
        world.pass_until("the connection is gone", MINUTE, HOUR / 2, over).await;
        assert_eq!(world.attio.journal().count("delete_webhook"), 1);
    }
}

scenario! {
    async fn an_attio_that_refuses_the_subscription_does_not_hinder_the_connect(setup: Setup) {
        let (world, app) = setup.connected().await;
        assert_eq!(world.attio.journal().requests("create_webhook")[0].status, Some(400), "it wants https");
        assert!(world.attio.webhooks().is_empty());
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        world.attio.faults().next("create_webhook", refusal(403, "unauthorized", "No scope webhook:read-write"));
        let ada = world.person();
        app.press(&ada).await.expect(201);
        let again = world.connect().await;
        assert!(world.attio.webhooks().is_empty());
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        assert_eq!(again.lead_says(&ada, "status").await, "complete");
    }
}

scenario! {
    async fn a_subscription_whose_answer_was_lost_leaves_no_orphan(setup: Setup) {
        let world = setup.impatient().start().await;
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        world.attio.faults().next("create_webhook", Fault::done_but_500());
        world.connect().await;
        let one = async || world.attio.webhooks().len() == 1;
        world.pass_until("the one without a secret is gone", MINUTE, HOUR, one).await;
        let (ada, bob) = (world.person(), world.person());
        let made = world.attio.merge_silently(&ada.record_id, &bob.record_id);
        tell_merge(&world, &made, [&ada, &bob]).await;
    }
}

scenario! {
    async fn only_attio_is_believed(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let webhook = world.attio.webhooks()[0].clone();
        let ada = world.person();
        app.press(&ada).await.expect(201);
        let body = json!({ "events": [world.attio.event("record.deleted", &ada.record_id)] }).to_string();
        let post = |url: &str, body: &str, signature: Option<String>| {
            let mut request = world.client.request(Method::POST, url).header("content-type", "application/json");
            if let Some(signature) = signature {
                request = request.header("attio-signature", signature);
            }
            request.body(body.to_owned())
        };
        let url = &webhook.target_url;
        send(post(url, &body, None)).await.expect_problem(401, "invalid-signature");
        send(post(url, &body, Some(sign("another", &body)))).await.expect_problem(401, "invalid-signature");
        send(post(url, &body, Some(sign(&webhook.secret, "{}")))).await.expect_problem(401, "invalid-signature");
        let elsewhere = format!("{}/webhooks/attio/{}.x", world.url(), world.attio.workspace_id());
        send(post(&elsewhere, &body, Some(sign(&webhook.secret, &body)))).await.expect_problem(410, "webhook-gone");
        for bad in ["no json", r#"{"events":[{"event_type":"record.deleted","id":{}}]}"#] {
            send(post(url, bad, Some(sign(&webhook.secret, bad)))).await.expect_problem(400, "invalid-request");
        }
        let other = json!({ "events": [world.attio.event("record.updated", &ada.record_id)] }).to_string();
        send(post(url, &other, Some(sign(&webhook.secret, &other)))).await.expect(200);
        assert_eq!(app.lead_says(&ada, "status").await, "pending", "nothing of it counted");
        send(post(url, &body, Some(sign(&webhook.secret, &body)))).await.expect(200);
        assert_eq!(app.lead_says(&ada, "reason").await, "record-deleted");
    }
}

scenario! {
    async fn a_merged_lead_goes_on_at_the_new_record(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, twin) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let made = world.attio.merge(&ada.record_id, &twin.record_id).await;
        let merged = at(&made, &ada);

        let joined = app.press(&merged).await.expect(200).json();
        assert_eq!(joined["record_id"], made.as_str());
        assert_eq!(world.alc.journal().count("create_lead"), 1, "never a second chat");
        world.call_back(&ada, "qualified").await;
        world.shows(&merged, "Complete").await;
        assert_eq!(world.attio.value(&made, "alc_result").as_deref(), Some("qualified"));
        for person in [&ada, &merged, &twin] {
            let lead = app.lead(person).await.expect(200).json();
            assert_eq!((&lead["result"], &lead["record_id"]), (&json!("qualified"), &json!(person.record_id)));
        }
        world.synced(&app, &merged).await;
        let listed = app.leads("limit=100").await.json();
        assert_eq!(listed["leads"].as_array().map(Vec::len), Some(1), "{listed}");
    }
}

scenario! {
    async fn a_merge_after_a_404_is_made_up_for(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, twin) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let made = world.attio.merge_silently(&ada.record_id, &twin.record_id);
        world.call_back(&ada, "qualified").await;
        let met = async || app.lead_says(&ada, "attio").await == "failed";
        world.pass_until("the old record is gone", MINUTE, HOUR, met).await;
        tell_merge(&world, &made, [&ada, &twin]).await;
        world.shows(&at(&made, &ada), "Complete").await;
    }
}

scenario! {
    async fn a_404_under_way_while_the_merge_is_told_counts_for_the_old_record_only(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, twin) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let made = world.attio.merge_silently(&ada.record_id, &twin.record_id);
        let hold = world.attio.faults().hold("patch_record", Stage::After);
        let telling = spawn({ let alc = world.alc.clone(); let id = ada.record_id.clone(); async move { alc.call_back(Callback::new(&id, "qualified")).await } });
        assert_eq!(telling.await.expect("an answer").status, 200);
        let under_way = async || world.attio.journal().count("patch_record") == 2;
        world.pass_until("the PATCH is under way", Duration::from_millis(50), MINUTE, under_way).await;
        tell_merge(&world, &made, [&ada, &twin]).await;
        hold.release();
        world.shows(&at(&made, &ada), "Complete").await;
    }
}

scenario! {
    async fn of_two_live_leads_the_newer_wins_and_the_other_is_silent(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, twin) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.synced(&app, &ada).await;
        world.pass(MINUTE).await;
        app.press(&twin).await.expect(201);
        world.shows(&twin, "Pending").await;
        world.synced(&app, &twin).await;
        let made = world.attio.merge(&ada.record_id, &twin.record_id).await;
        let merged = at(&made, &ada);

        // Whichever way it is asked for, the newer one answers; the other one's own end is in the list.
        let superseded = app.leads("status=failed").await.json();
        assert_eq!(superseded["leads"][0]["reason"], "superseded", "{superseded}");
        assert_eq!(superseded["leads"][0]["record_id"], ada.record_id.as_str());
        world.call_back(&ada, "unqualified").await;
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(world.attio.value(&made, "alc_result"), None, "the other one has nothing to say");
        assert_eq!(app.leads("status=failed").await.json()["leads"], superseded["leads"]);
        assert_eq!(app.lead_says(&merged, "status").await, "pending");
        world.call_back(&twin, "qualified").await;
        world.shows(&merged, "Complete").await;
        assert_eq!(world.attio.value(&made, "alc_result").as_deref(), Some("qualified"));
        assert_eq!((patches_of(&world, &ada.record_id), patches_of(&world, &twin.record_id)), (1, 1));
    }
}

scenario! {
    async fn chains_end_at_the_last_record_in_whatever_order_they_are_told(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, twin, third) = (world.person(), world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let first = world.attio.merge_silently(&ada.record_id, &twin.record_id);
        let last = world.attio.merge_silently(&first, &third.record_id);
        // The later merge first, everything twice, several events in one call.
        for _ in 0..2 {
            tell_merge(&world, &last, [&third, &at(&first, &ada)]).await;
            let events = [&ada, &twin].map(|original| world.attio.merged_event(&first, &original.record_id));
            assert_eq!(world.attio.deliver(events.to_vec()).await, [200]);
        }
        app.press(&at(&last, &ada)).await.expect(200);
        app.press(&at(&first, &ada)).await.expect(200);
        world.call_back(&ada, "qualified").await;
        world.shows(&at(&last, &ada), "Complete").await;
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    }
}

scenario! {
    async fn a_merge_that_concerns_nobody_is_harmless_and_a_new_press_goes_out(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, twin) = (world.person(), world.person());
        let made = world.attio.merge(&ada.record_id, &twin.record_id).await;
        let merged = at(&made, &ada);
        app.lead(&merged).await.expect(404);
        app.lead(&ada).await.expect(404);
        app.press(&merged).await.expect(201);
        world.shows(&merged, "Pending").await;
        world.call_back(&merged, "qualified").await;
        world.shows(&merged, "Complete").await;
    }
}

scenario! {
    async fn a_callback_that_names_the_new_record_is_understood(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, twin) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let merged = at(&world.attio.merge(&ada.record_id, &twin.record_id).await, &ada);
        world.tell(Callback::new(&merged.record_id, "qualified"), 200).await;
        assert_eq!(app.lead_says(&ada, "result").await, "qualified");
        world.shows(&merged, "Complete").await;
        let listed = app.leads("limit=100").await.json();
        assert_eq!(listed["leads"].as_array().map(Vec::len), Some(1), "{listed}");
    }
}

scenario! {
    async fn a_record_that_was_merged_before_anybody_sent_it_can_be_sent(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, twin) = (world.person(), world.person());
        let made = world.attio.merge(&ada.record_id, &twin.record_id).await;
        let made = at(&made, &ada);
        // From a page that was open before the merge.
        app.press(&ada).await.expect(201);
        app.press(&ada).await.expect(200);
        app.press(&made).await.expect(200);
        world.shows(&made, "Pending").await;
        assert_eq!(app.leads("status=pending").await.json()["leads"].as_array().map(Vec::len), Some(1));
        world.call_back(&ada, "qualified").await;
        assert_eq!(app.lead_says(&ada, "result").await, "qualified");
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    }
}

scenario! {
    async fn a_deleted_record_ends_the_send(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.attio.delete_and_tell(&ada.record_id).await;
        let lead = app.lead(&ada).await.json();
        assert_eq!((&lead["status"], &lead["reason"]), (&json!("failed"), &json!("record-deleted")));
        world.call_back(&ada, "qualified").await;
        world.pass_slowly(HOUR, 3).await;
        assert_eq!(app.lead_says(&ada, "status").await, "failed");
        assert_eq!(patches_of(&world, &ada.record_id), 1, "no further PATCH");
    }
}

scenario! {
    async fn no_trigger_is_told_of_a_merge(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let url = json!({ "callback_url": world.attio.callback_url("trigger") });
        send(app.request(Method::PUT, "/v1/triggers/trigger").json(&url)).await.expect(201);
        let (ada, bob) = (world.person(), world.person());
        let made = world.attio.merge_silently(&ada.record_id, &bob.record_id);
        tell_merge(&world, &made, [&ada, &bob]).await;
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(world.attio.told("trigger").len(), 0, "nobody sent either of them");
    }
}

scenario! {
    async fn a_result_for_a_record_that_was_merged_before_anybody_knew_it_is_shown_at_the_new_one(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, bob) = (world.person(), world.person());
        let made = world.attio.merge_silently(&ada.record_id, &bob.record_id);
        tell_merge(&world, &made, [&ada, &bob]).await;
        world.tell(Callback::new(&ada.record_id, "qualified"), 200).await;
        let made = at(&made, &ada);
        world.shows(&made, "Complete").await;
        assert_eq!(patches_of(&world, &ada.record_id), 0);
        assert_eq!(app.lead_says(&made, "status").await, "complete", "whoever asks for the new record finds it");
        assert_eq!(app.leads("status=complete").await.json()["leads"].as_array().map(Vec::len), Some(1));
    }
}

scenario! {
    async fn a_deletion_that_is_told_twice_ends_no_later_send(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        let webhook = world.attio.webhooks()[0].clone();
        let body = json!({ "events": [world.attio.event("record.deleted", &ada.record_id)] }).to_string();
        let call = || {
            let request = world.client.post(&webhook.target_url).header("content-type", "application/json");
            let request = request.header("attio-signature", sign(&webhook.secret, &body));
            send(request.header("idempotency-key", "one-deletion").body(body.clone()))
        };
        call().await.expect(200);
        assert_eq!(app.lead_says(&ada, "reason").await, "record-deleted");
        // A person restores the record in Attio and presses again; Attio has not seen the 200.
        app.press(&ada).await.expect(201);
        call().await.expect(200);
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
        world.shows(&ada, "Pending").await;
    }
}

scenario! {
    async fn a_deletion_told_before_the_merge_that_made_it_ends_nothing(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, bob) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        let made = world.attio.merge_silently(&ada.record_id, &bob.record_id);
        let gone = world.attio.event("record.deleted", &ada.record_id);
        assert_eq!(world.attio.deliver(vec![gone]).await, [200]);
        tell_merge(&world, &made, [&ada, &bob]).await;
        world.call_back(&ada, "qualified").await;
        world.shows(&at(&made, &ada), "Complete").await;
    }
}

scenario! {
    async fn a_bad_event_loses_none_of_its_call(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        let bad = json!({ "event_type": "record.merged" });
        let events = vec![bad, world.attio.event("record.deleted", &ada.record_id)];
        assert_eq!(world.attio.deliver(events).await, [400]);
        assert_eq!(app.lead_says(&ada, "reason").await, "record-deleted");
    }
}

scenario! {
    async fn a_deleted_record_is_not_written_to_whatever_is_still_to_be_shown(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, bob, other) = (world.person(), world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.synced(&app, &ada).await;
        // The one has finished and Attio does not take it, the other one is not at ALC yet.
        world.alc.faults().always("create_lead", Fault::status(503));
        world.while_time_passes(app.press(&bob)).await.expect(202);
        world.attio.faults().always("patch_record", Fault::status(503));
        world.call_back(&ada, "qualified").await;
        let refused = async || patches_of(&world, &ada.record_id) == 2;
        world.pass_until("Attio refuses it", Duration::from_millis(50), MINUTE, refused).await;
        world.attio.delete_and_tell(&ada.record_id).await;
        world.attio.delete_and_tell(&bob.record_id).await;
        // The merge is told too late: name and number are erased by now, so nothing can be sent, nor is anything to be
        // shown.
        assert_eq!(world.attio.deliver(vec![world.attio.merged_event(&other.record_id, &bob.record_id)]).await, [200]);
        world.attio.faults().clear("patch_record");
        let (before, about_ada) = (patches_of(&world, &bob.record_id), patches_of(&world, &ada.record_id));
        world.pass_slowly(HOUR, 3).await;
        assert_eq!(patches_of(&world, &ada.record_id), about_ada);
        assert_eq!((patches_of(&world, &bob.record_id), patches_of(&world, &other.record_id)), (before, 0));
    }
}

scenario! {
    async fn a_deletion_and_its_merge_during_the_post_lose_no_result(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, twin) = (world.person(), world.person());
        let hold = world.alc.faults().hold("create_lead", Stage::After);
        let pressed = spawn({ let (app, ada) = (app.clone(), ada.clone()); async move { app.press(&ada).await } });
        hold.reached(1).await;
        let made = world.attio.merge_silently(&ada.record_id, &twin.record_id);
        let deleted = world.attio.event("record.deleted", &ada.record_id);
        assert_eq!(world.attio.deliver(vec![deleted]).await, [200]);
        tell_merge(&world, &made, [&ada, &twin]).await;
        hold.release();
        world.while_time_passes(pressed).await.expect("an answer").expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&at(&made, &ada), "Complete").await;
        assert_eq!(world.attio.value(&made, "alc_result").as_deref(), Some("qualified"));
    }
}

scenario! {
    async fn a_result_between_a_deletion_and_its_merge_during_the_post_is_kept(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (ada, twin) = (world.person(), world.person());
        let hold = world.alc.faults().hold("create_lead", Stage::After);
        let pressed = spawn({ let (app, ada) = (app.clone(), ada.clone()); async move { app.press(&ada).await } });
        hold.reached(1).await;
        let made = world.attio.merge_silently(&ada.record_id, &twin.record_id);
        let deleted = world.attio.event("record.deleted", &ada.record_id);
        assert_eq!(world.attio.deliver(vec![deleted]).await, [200]);
        // As far as is known now, of a person who is gone.
        world.call_back(&ada, "qualified").await;
        assert_eq!(app.lead_says(&ada, "reason").await, json!("record-deleted"));
        assert_eq!(app.lead_says(&ada, "result").await, json!("qualified"));
        // What ALC told once is not asked for.
        world.alc.faults().always("list_leads", Fault::status(500));
        tell_merge(&world, &made, [&ada, &twin]).await;
        hold.release();
        world.while_time_passes(pressed).await.expect("an answer");
        world.shows(&at(&made, &ada), "Complete").await;
        assert_eq!(world.attio.value(&made, "alc_result").as_deref(), Some("qualified"));
    }
}

/// Merges of records that were never sent, of this object of Attio's.
async fn tell_merges(world: &World, count: usize, object: Option<&str>) {
    let merges = (0..count).map(|_| {
        let [made, original] = [(); 2].map(|()| alc_connector::ids::random_uuid().to_string());
        let mut event = world.attio.merged_event(&made, &original);
        if let Some(object) = object {
            event["id"]["object_id"] = json!(object);
            event["duplicate_object_id"] = json!(object);
        }
        event
    });
    assert_eq!(world.attio.deliver(merges.collect()).await, [200]);
}

async fn forwarders(world: &World) -> usize {
    let metrics = send(world.client.get(format!("http://{}/metrics", world.replicas()[0].management))).await;
    metrics.body.matches("forwarding").count()
}

scenario! {
    async fn merges_of_other_objects_leave_nothing(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        // People's own id was learnt at connect.
        tell_merges(&world, 60, Some("companies")).await;
        world.pass(MINUTE).await;
        assert_eq!(forwarders(&world).await, 0);
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
    }
}

scenario! {
    async fn merges_of_people_who_were_never_sent_hide_no_lead(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.pass(Duration::from_secs(1)).await;
        tell_merges(&world, 60, Some("companies")).await;
        tell_merges(&world, 60, None).await;
        for limit in [1, 10, 50] {
            let page = app.leads(&format!("limit={limit}")).await.expect(200).json();
            assert_eq!(page["leads"][0]["record_id"], ada.record_id.as_str(), "{page}");
            assert_eq!(page["next_cursor"], json!(null), "they take no place after it either: {page}");
        }
    }
}
