//! `ATTIO__SEND_ON_LIST`: whoever enters the list is sent, once for each entry.

use sandbox::{Fault, Stage, attio::refusal};
use serde_json::{Value, json};

use crate::support::{
    ambient::eventually,
    attio_app::AttioApp,
    harness::{HOUR, MINUTE, Person, Setup, World, run, scenario},
};

const LIST: &str = "to-alc";

/// Connected, with a list whose entries send.
async fn sending(setup: Setup) -> (World, AttioApp) {
    let world = setup.with("ATTIO__SEND_ON_LIST", LIST).start().await;
    world.attio.configure(|attio| attio.https_webhooks_only = false);
    world.attio.add_list(LIST, &[]);
    let app = world.connect().await;
    (world, app)
}

/// Puts a person into the list; Attio tells of it, and is answered that this is kept.
async fn enter(world: &World, person: &Person) {
    assert_eq!(world.attio.add_entry(LIST, &person.record_id).await, [200]);
}

fn sent(world: &World, person: &Person) -> usize {
    world.alc.leads_of(&person.record_id).len()
}

fn wanted(world: &World) -> Vec<Value> {
    let webhooks = world.attio.webhooks();
    let all = webhooks[0].subscriptions.as_array().expect("a list");
    all.iter().map(|one| one["event_type"].clone()).collect()
}

/// Waits until the lead has come to that.
async fn comes_to(world: &World, app: &AttioApp, person: &Person, field: &str, value: &str) {
    let has = async || app.lead_says(person, field).await == value;
    world.pass_until(&format!("{field} is {value}"), MINUTE / 60, HOUR, has).await;
}

scenario! {
    async fn who_enters_the_list_is_sent_once_and_shown(setup: Setup) {
        let (world, app) = sending(setup).await;
        let ada = world.person();
        enter(&world, &ada).await;
        world.shows(&ada, "Pending").await;
        let lead = &world.alc.leads_of(&ada.record_id)[0];
        assert_eq!((lead.name.as_str(), lead.phone_number.as_str()), (ada.name.as_str(), ada.phone.as_str()));
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.synced(&app, &ada).await;
        assert_eq!(app.lead_says(&ada, "result").await, "qualified");
        assert_eq!(sent(&world, &ada), 1);
    }
}

scenario! {
    async fn what_attio_tells_again_asks_for_nothing(setup: Setup) {
        let (world, app) = sending(setup).await;
        let ada = world.person();
        let event = world.attio.add_entry_silently(LIST, &ada.record_id);
        for _ in 0..2 {
            assert_eq!(world.attio.deliver(vec![event.clone(), event.clone()]).await, [200]);
        }
        world.shows(&ada, "Pending").await;
        // While it is live another entry joins it.
        enter(&world, &ada).await;
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.synced(&app, &ada).await;
        assert_eq!(world.attio.deliver(vec![event.clone()]).await, [200]);
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!((sent(&world, &ada), app.lead_says(&ada, "status").await), (1, json!("complete")));
        // Another entry after its end is another send.
        enter(&world, &ada).await;
        world.shows(&ada, "Pending").await;
        assert_eq!(sent(&world, &ada), 2);
        assert_eq!(world.attio.deliver(vec![event]).await, [200]);
        world.pass_slowly(MINUTE, 2).await;
        assert_eq!(sent(&world, &ada), 2);
    }
}

scenario! {
    async fn what_attio_tells_again_after_a_merge_asks_for_nothing(setup: Setup) {
        let (world, app) = sending(setup).await;
        let (ada, twin) = (world.person(), world.person());
        let event = world.attio.add_entry_silently(LIST, &ada.record_id);
        assert_eq!(world.attio.deliver(vec![event.clone()]).await, [200]);
        world.shows(&ada, "Pending").await;
        app.press(&twin).await.expect(201);
        for person in [&ada, &twin] {
            world.call_back(person, "qualified").await;
            world.shows(person, "Complete").await;
            world.synced(&app, person).await;
        }
        // The twin's lead speaks from now on, and has never heard of the entry.
        let made = world.attio.merge(&ada.record_id, &twin.record_id).await;
        assert_eq!(world.attio.deliver(vec![event]).await, [200]);
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(world.alc.leads().len(), 2, "nobody is sent again");
        assert_eq!(world.attio.status(&made).as_deref(), Some("Complete"));
    }
}

scenario! {
    async fn who_was_pressed_is_joined(setup: Setup) {
        let (world, app) = sending(setup).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        enter(&world, &ada).await;
        world.pass_slowly(MINUTE, 2).await;
        assert_eq!(sent(&world, &ada), 1);
        // And the other way round: a press joins who waits to be read.
        let bob = world.person();
        world.attio.faults().always("get_record", Fault::status(503));
        enter(&world, &bob).await;
        let joined = app.press(&bob).await.expect(200).json();
        assert_eq!(joined["status"], "queued");
        world.attio.faults().clear("get_record");
        world.shows(&bob, "Pending").await;
        assert_eq!(sent(&world, &bob), 1);
    }
}

scenario! {
    async fn without_a_valid_number_it_fails_and_says_so(setup: Setup) {
        let (world, app) = sending(setup).await;
        let ada = world.person();
        for numbers in [&[][..], &["12"][..]] {
            world.attio.set_phone_numbers(&ada.record_id, numbers);
            enter(&world, &ada).await;
            comes_to(&world, &app, &ada, "reason", "no-phone-number").await;
            world.shows(&ada, "Failed").await;
            assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some("no-phone-number"));
            world.synced(&app, &ada).await;
        }
        assert_eq!(world.alc.journal().count("create_lead"), 0);
        // The first that is valid is taken.
        world.attio.set_phone_numbers(&ada.record_id, &["12", &ada.phone, "+442079460958"]);
        enter(&world, &ada).await;
        world.shows(&ada, "Pending").await;
        assert_eq!(world.alc.leads_of(&ada.record_id)[0].phone_number, ada.phone);
    }
}

scenario! {
    async fn without_a_name_it_fails_and_says_so(setup: Setup) {
        let (world, app) = sending(setup).await;
        let nobody = Person { record_id: world.attio.add_person("", "+12015550123"), ..world.person() };
        enter(&world, &nobody).await;
        comes_to(&world, &app, &nobody, "reason", "no-name").await;
        world.shows(&nobody, "Failed").await;
        assert_eq!(world.alc.journal().count("create_lead"), 0);
    }
}

scenario! {
    async fn a_record_that_is_gone_ends_the_send(setup: Setup) {
        let (world, app) = sending(setup).await;
        let ada = world.person();
        let event = world.attio.add_entry_silently(LIST, &ada.record_id);
        world.attio.delete_person(&ada.record_id);
        assert_eq!(world.attio.deliver(vec![event]).await, [200]);
        comes_to(&world, &app, &ada, "reason", "record-deleted").await;
        assert_eq!(world.alc.journal().count("create_lead"), 0);
    }
}

scenario! {
    async fn an_attio_that_fails_is_asked_again(setup: Setup) {
        let (world, app) = sending(setup.impatient()).await;
        for fault in [
            Fault::status(500),
            Fault::Hang,
            Fault::Reset,
            Fault::Garbage,
            Fault::status_with(429, ("retry-after", "30"), json!({})),
        ] {
            let ada = world.person();
            world.attio.faults().times("get_record", 2, fault.clone());
            enter(&world, &ada).await;
            comes_to(&world, &app, &ada, "status", "pending").await;
            assert_eq!(sent(&world, &ada), 1, "{fault:?}");
            world.attio.faults().clear_all();
        }
    }
}

scenario! {
    async fn an_attio_that_refuses_is_asked_again_slowly(setup: Setup) {
        let (world, app) = sending(setup).await;
        let ada = world.person();
        world.attio.faults().next("get_record", refusal(403, "unauthorized", "No scope record_permission:read"));
        enter(&world, &ada).await;
        let told = async || app.lead_says(&ada, "last_error").await.as_str().is_some_and(|said| said.contains("scope"));
        world.pass_until("the refusal is told", MINUTE / 60, MINUTE, told).await;
        let sent = async || sent(&world, &ada) == 1;
        world.pass_until("it is sent", MINUTE, HOUR * 3, sent).await;
    }
}

scenario! {
    async fn an_attio_that_never_answers_ends_at_the_deadline(setup: Setup) {
        let (world, app) = sending(setup.with("LEADS__SEND_DEADLINE", "2h")).await;
        let ada = world.person();
        world.attio.faults().always("get_record", Fault::status(503));
        enter(&world, &ada).await;
        let ended = async || app.lead_says(&ada, "reason").await == "not-sent";
        world.pass_until("the send has failed", MINUTE * 5, HOUR * 3, ended).await;
        assert_eq!(world.alc.journal().count("create_lead"), 0);
    }
}

scenario! {
    async fn a_merge_while_attio_is_asked_reads_the_new_record(setup: Setup) {
        let (world, _app) = sending(setup).await;
        let (ada, twin) = (world.person(), world.person());
        let held = world.attio.faults().hold("get_record", Stage::After);
        enter(&world, &ada).await;
        held.reached(1).await;
        let made = world.attio.merge(&ada.record_id, &twin.record_id).await;
        world.attio.set_phone_numbers(&made, &["+442079460958"]);
        held.release();
        let merged = Person { record_id: made, ..ada.clone() };
        world.shows(&merged, "Pending").await;
        assert_eq!(sent(&world, &ada), 1);
        assert_eq!(world.alc.leads_of(&ada.record_id)[0].phone_number, "+442079460958", "not the old record's");
    }
}

scenario! {
    /// The old number would be sent to.
    async fn a_change_while_attio_is_asked_reads_the_new_number(setup: Setup) {
        let (world, _app) = sending(setup).await;
        let ada = world.person();
        let held = world.attio.faults().hold("get_record", Stage::After);
        enter(&world, &ada).await;
        held.reached(1).await;
        world.attio.set_phone_numbers(&ada.record_id, &["+442079460958"]);
        assert_eq!(world.attio.deliver(vec![world.attio.updated_event(&ada.record_id, "phone_numbers")]).await, [200]);
        held.release();
        world.shows(&ada, "Pending").await;
        assert_eq!(world.alc.leads_of(&ada.record_id)[0].phone_number, "+442079460958");
        assert_eq!((world.attio.journal().count("get_record"), sent(&world, &ada)), (2, 1));
    }
}

scenario! {
    /// What was read is believed for five minutes, by whatever replica, unless Attio tells of a change.
    async fn who_was_just_read_is_not_read_again(setup: Setup) {
        let (world, app) = sending(setup).await;
        let ada = world.person();
        let round = async || {
            enter(&world, &ada).await;
            world.shows(&ada, "Pending").await;
            world.call_back(&ada, "qualified").await;
            world.shows(&ada, "Complete").await;
            world.synced(&app, &ada).await;
        };
        let read = || world.attio.journal().count("get_record");
        round().await;
        round().await;
        assert_eq!((read(), sent(&world, &ada)), (1, 2));
        // What is not about who the person is does not matter.
        assert_eq!(world.attio.deliver(vec![world.attio.updated_event(&ada.record_id, "alc_status")]).await, [0_u16; 0]);
        round().await;
        assert_eq!(read(), 1);
        assert_eq!(world.attio.deliver(vec![world.attio.updated_event(&ada.record_id, "phone_numbers")]).await, [200]);
        world.attio.set_phone_numbers(&ada.record_id, &["+442079460958"]);
        round().await;
        assert_eq!(read(), 2);
        assert_eq!(world.alc.leads_of(&ada.record_id)[3].phone_number, "+442079460958");
        world.pass_slowly(MINUTE, 6).await;
        round().await;
        assert_eq!(read(), 3);
        world.pass_slowly(MINUTE, 6).await;
        let (name, number) = (ada.name.as_bytes(), b"442079460958");
        let stored = world.stored();
        let holds = |text: &[u8]| stored.windows(text.len()).any(|window| window == text);
        assert!(!holds(name) && !holds(number), "sealed, and then erased");
    }
}

scenario! {
    async fn what_a_person_archived_is_named_and_once_mended_no_more(setup: Setup) {
        let (world, app) = sending(setup).await;
        let problems = async || app.connection().await.expect(200).json()["attio"]["schema"]["problems"].clone();
        assert_eq!(problems().await, json!([]));
        let archive = |is_archived| {
            world.attio.set_attribute("alc_result", "text", |attribute| attribute.is_archived = is_archived);
            world.attio.set_attribute("alc_status", "select", |attribute| attribute.options[0].is_archived = is_archived);
        };
        archive(true);
        let named = async || {
            app.refresh().await.expect(200);
            let told = problems().await;
            told[0]["attribute"] == "alc_result" && told[1]["attribute"] == "alc_status"
        };
        world.pass_until("both are named", MINUTE, HOUR, named).await;
        assert_eq!(world.attio.journal().count("update_option"), 0, "nothing is mended behind a person's back");
        // A look that fails says nothing of what is there.
        world.attio.faults().times("list_attributes", 2, Fault::status(503));
        let before = world.attio.journal().count("list_attributes");
        let asked = async || world.attio.journal().count("list_attributes") >= before + 2;
        world.pass_until("Attio is asked", MINUTE, HOUR, asked).await;
        app.refresh().await.expect(200);
        assert_eq!(problems().await.as_array().map(Vec::len), Some(2));
        archive(false);
        let mended = async || {
            app.refresh().await.expect(200);
            problems().await == json!([])
        };
        world.pass_until("nothing is named", MINUTE, HOUR, mended).await;
    }
}

scenario! {
    async fn an_entry_between_two_connections_counts_for_nothing(setup: Setup) {
        let (world, app) = sending(setup).await;
        let ada = world.person();
        // Attio's webhook outlives the connection by a while.
        world.attio.faults().always("delete_webhook", Fault::status(503));
        app.connection_removed().await.expect(202);
        let event = world.attio.add_entry_silently(LIST, &ada.record_id);
        let body = json!({ "events": [event] }).to_string();
        let answer = world.attio.deliver_to(&world.attio.webhooks()[0], body).await;
        assert!([200, 410].contains(&answer), "{answer}");
        world.attio.faults().clear("delete_webhook");
        world.connect().await;
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(sent(&world, &ada), 0);
    }
}

scenario! {
    async fn by_default_no_entry_is_heard_of_and_none_counts(setup: Setup) {
        let world = setup.start().await;
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        world.attio.add_list(LIST, &[]);
        let app = world.connect().await;
        assert_eq!(wanted(&world), ["record.merged", "record.deleted"]);
        assert_eq!(world.attio.journal().count("get_list"), 0);
        let ada = world.person();
        let body = json!({ "events": [world.attio.add_entry_silently(LIST, &ada.record_id)] }).to_string();
        assert_eq!(world.attio.deliver_to(&world.attio.webhooks()[0], body).await, 200);
        world.pass_slowly(MINUTE, 2).await;
        app.lead(&ada).await.expect(404);
    }
}

scenario! {
    async fn entries_of_another_list_and_of_other_objects_do_not_count(setup: Setup) {
        let (world, app) = sending(setup).await;
        world.attio.add_list("another", &[]);
        let ada = world.person();
        assert_eq!(world.attio.add_entry("another", &ada.record_id).await, [0; 0], "Attio filters");
        let mut events = vec![world.attio.add_entry_silently("another", &ada.record_id)];
        let mut company = world.attio.add_entry_silently(LIST, &ada.record_id);
        company["parent_object_id"] = json!("11111111-2222-4333-8444-555555555555");
        events.push(company);
        for event in events {
            let body = json!({ "events": [event] }).to_string();
            assert_eq!(world.attio.deliver_to(&world.attio.webhooks()[0], body).await, 200);
        }
        world.pass_slowly(MINUTE, 2).await;
        app.lead(&ada).await.expect(404);
        let bad = json!({ "events": [{ "event_type": "list-entry.created", "id": {} }] }).to_string();
        assert_eq!(world.attio.deliver_to(&world.attio.webhooks()[0], bad).await, 400);
    }
}

scenario! {
    async fn a_list_that_is_missing_or_has_no_people_is_named(setup: Setup) {
        let world = setup.with("ATTIO__SEND_ON_LIST", LIST).start().await;
        let app = world.authorize().await;
        let refused = app.connection_added().await.expect_problem(422, "connect-refused").json();
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("`to-alc` is not there")), "{refused}");
        world.attio.add_list(LIST, &[]);
        world.attio.change_list(LIST, |list| list.parent_object = vec!["companies".to_owned()]);
        let refused = app.connection_added().await.expect_problem(422, "connect-refused").json();
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("companies")), "{refused}");
        world.attio.change_list(LIST, |list| list.parent_object = vec!["people".to_owned()]);
        app.connection_added().await.expect(201);
        // Attio refuses a webhook without TLS: that nobody would be sent is not left unsaid.
        let problems = app.connection().await.expect(200).json()["attio"]["schema"]["problems"].clone();
        assert_eq!(problems[0]["list"], LIST, "{problems}");
    }
}

scenario! {
    async fn a_list_named_later_replaces_the_webhook_and_so_does_none(setup: Setup) {
        let world = setup.start().await;
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        let list = world.attio.add_list(LIST, &[]);
        let app = world.connect().await;
        let mut world = world;
        world.settings.set("ATTIO__SEND_ON_LIST", &list);
        world.restart().await;
        let all = json!(["record.merged", "record.deleted", "list-entry.created", "record.updated"]);
        let told = async || json!(wanted(&world)) == all && world.attio.webhooks().len() == 1;
        world.pass_until("Attio tells of the list", MINUTE, HOUR, told).await;
        let ada = world.person();
        enter(&world, &ada).await;
        world.shows(&ada, "Pending").await;
        assert_eq!(app.connection().await.expect(200).json()["attio"]["schema"]["problems"], json!([]));
        world.settings.set("ATTIO__SEND_ON_LIST", "");
        world.restart().await;
        let untold = async || wanted(&world).len() == 2 && world.attio.webhooks().len() == 1;
        world.pass_until("Attio tells of no list", MINUTE, HOUR, untold).await;
    }
}

#[test]
fn a_kill_between_the_event_and_the_send_loses_nothing_on_sqlite() {
    run(survives(Setup::sqlite()));
}

#[test]
fn a_kill_between_the_event_and_the_send_loses_nothing_on_redis() {
    run(survives(Setup::redis()));
}

async fn survives(setup: Setup) {
    let setup = setup.with("ATTIO__SEND_ON_LIST", LIST).with("RETRY__SCHEDULE", "200ms,500ms,1s");
    let mut world = setup.with("ALC__TIMEOUT", "1s").with("ATTIO__TIMEOUT", "1s").start().await;
    world.attio.configure(|attio| attio.https_webhooks_only = false);
    world.attio.add_list(LIST, &[]);
    let mut process = world.in_a_process().await;
    let app = world.connect().await;
    for stage in [Stage::Before, Stage::After] {
        let ada = world.person();
        let held = world.attio.faults().hold("get_record", stage);
        let event = world.attio.add_entry_silently(LIST, &ada.record_id);
        assert_eq!(world.attio.deliver(vec![event.clone()]).await, [200]);
        eventually("Attio is asked", async || (world.attio.faults().withheld() > 0).then_some(())).await;
        process.kill();
        held.release();
        process.start().await;
        let shown = async || (world.attio.status(&ada.record_id).as_deref() == Some("Pending")).then_some(());
        eventually("it is sent", shown).await;
        // Attio had its answer before the kill, and tells again all the same.
        assert_eq!(world.attio.deliver(vec![event]).await, [200]);
        world.call_back(&ada, "qualified").await;
        let shown = async || (world.attio.status(&ada.record_id).as_deref() == Some("Complete")).then_some(());
        eventually("it is complete", shown).await;
        assert_eq!(sent(&world, &ada), 1);
    }
    drop(app);
    assert_eq!(process.terminate().await, Some(0));
}
