//! Operations `operateSyncs`, `beginSyncs` and the command `sync`: what differs between the two sides is found and set
//! right once, and nothing else is touched.

use std::{collections::BTreeMap, time::Duration};

use alc_connector::{
    lifecycle::Lifecycle,
    store::{Change, Commit, Committed, Key, Kind, Tenant, Write},
};
use reqwest::Method;
use sandbox::{Fault, Stage};
use serde_json::{Value, json};

use crate::{
    support::{
        ambient::eventually_within,
        harness::{DAY, HOUR, MINUTE, Person, Setup, World, run, scenario},
        http::{Answer, send},
        process, secrets, stored,
    },
    unreadable::made_newer,
};

const SECOND: Duration = Duration::from_secs(1);

async fn asked(world: &World, replica: usize, method: Method, path: &str, body: Option<Value>) -> Answer {
    let url = format!("http://{}{path}", world.replicas()[replica].management);
    let request = world.client.request(method, url);
    let answer = send(if let Some(body) = &body { request.json(body) } else { request }).await;
    secrets::hear(answer.body.as_bytes());
    answer
}

async fn begin(world: &World, mend: bool) -> Value {
    let wish = json!({ "workspace_id": world.attio.workspace_id(), "mend": mend, "by": "ada" });
    asked(world, 0, Method::POST, "/operate/syncs", Some(wish)).await.expect(200).json()
}

async fn sync(world: &World) -> Value {
    asked(world, 0, Method::GET, "/operate/syncs", None).await.expect(200).json()["syncs"][0].clone()
}

/// Begins a sync and lets time pass until it has ended.
async fn synced(world: &World, mend: bool) -> Value {
    begin(world, mend).await;
    ended(world).await
}

async fn ended(world: &World) -> Value {
    let ended = async || sync(world).await["state"] != "running";
    world.pass_until("the sync ends", SECOND, HOUR, ended).await;
    sync(world).await
}

fn counts(sync: &Value) -> [u64; 3] {
    ["checked", "mended", "left"].map(|name| sync[name].as_u64().expect("a number"))
}

fn left(sync: &Value) -> BTreeMap<String, String> {
    let differences = sync["differences"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    differences.map(|one| (text(&one["record_id"]), text(&one["reason"]))).collect()
}

/// As a person, or a restored backup, would have it.
fn set_back(world: &World, person: &Person) {
    world.attio.edit(&person.record_id, "alc_status", "Pending");
}

/// The store loses a lead.
async fn lose(world: &mut World, person: &Person) {
    let replicas = world.replicas().len();
    world.stop().await;
    let lifecycle = Lifecycle::new();
    let store = stored::open(world, &lifecycle).await;
    let (tenant, key) = (Tenant::new(world.attio.workspace_id()), Key::new(Kind::Lead, &person.record_id));
    let loaded = store.load(&tenant, std::slice::from_ref(&key), &[], world.now()).await.expect("the store answers");
    let expected = loaded.documents[0].as_ref().map(|document| document.version);
    let commit = Commit::of(vec![Write { key, expected, change: Change::Erase }]);
    let committed = store.commit(&tenant, &commit, world.now()).await.expect("the store answers");
    assert!(matches!(committed, Committed::Done(_)));
    lifecycle.stop();
    store.close().await;
    for _ in 0..replicas {
        world.start_replica().await;
    }
}

scenario! {
    async fn each_difference_is_found_and_set_right_once(setup: Setup) {
        let (world, app) = setup.connected().await;
        let [ended_here, ended_at_alc, unknown, complete, live] = std::array::from_fn(|_| world.person());
        for person in [&ended_here, &ended_at_alc, &complete, &live] {
            app.press(person).await.expect(201);
            world.shows(person, "Pending").await;
        }
        for person in [&ended_here, &complete] {
            world.call_back(person, "qualified").await;
            world.shows(person, "Complete").await;
            world.synced(&app, person).await;
        }
        set_back(&world, &ended_here);
        set_back(&world, &unknown);
        world.alc.finish_silently(&ended_at_alc.record_id, "not interested");
        world.pass(MINUTE * 10).await;

        let first = synced(&world, false).await;
        assert_eq!((&first["state"], counts(&first)), (&json!("done"), [5 + 2, 2, 1]), "{first}");
        assert_eq!(left(&first), BTreeMap::from([(unknown.record_id.clone(), "unknown".to_owned())]));
        world.shows(&ended_here, "Complete").await;
        world.shows(&ended_at_alc, "Complete").await;
        assert_eq!(world.attio.value(&ended_at_alc.record_id, "alc_result").as_deref(), Some("not interested"));
        assert_eq!(app.lead_says(&ended_at_alc, "result").await, "not interested");
        assert_eq!(world.attio.status(&unknown.record_id).as_deref(), Some("Pending"), "it was only looked at");

        let second = synced(&world, true).await;
        assert_eq!(counts(&second), [5 + 1, 1, 0], "{second}");
        assert_eq!(world.attio.status(&unknown.record_id).as_deref(), Some("Failed"));
        assert_eq!(world.attio.value(&unknown.record_id, "alc_result").as_deref(), Some("lost"));
        world.synced(&app, &ended_at_alc).await;

        let written = world.attio.journal().count("patch_record");
        let third = synced(&world, true).await;
        assert_eq!(counts(&third), [4 + 1, 0, 0], "nothing differs any more: {third}");
        assert_eq!(third["expected"], 5 + 1, "as many as the last time");
        assert_eq!(world.attio.journal().count("patch_record"), written, "and nothing is written");
        assert_eq!(app.lead_says(&live, "status").await, "pending");
        assert_eq!(world.attio.history(&live.record_id), ["Pending"]);
        assert_eq!(world.alc.leads().len(), 4, "nobody was sent again");
        let audit = secrets::lines_with("an operator has changed something");
        assert!(audit.iter().any(|line| line.contains("sync-and-mend") && line.contains("ada (loopback)")), "{audit:?}");
    }
}

scenario! {
    async fn what_the_store_has_lost_is_taken_from_alc_and_never_written_off(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        let [ended, goes_on] = std::array::from_fn(|_| world.person());
        for person in [&ended, &goes_on] {
            app.press(person).await.expect(201);
            world.shows(person, "Pending").await;
            world.synced(&app, person).await;
            lose(&mut world, person).await;
        }
        world.alc.finish_silently(&ended.record_id, "qualified");
        let found = synced(&world, true).await;
        assert_eq!(counts(&found), [2, 1, 1], "{found}");
        assert_eq!(left(&found), BTreeMap::from([(goes_on.record_id.clone(), "at-alc".to_owned())]));
        world.shows(&ended, "Complete").await;
        assert_eq!(world.attio.status(&goes_on.record_id).as_deref(), Some("Pending"));

        // Whom ALC cannot tell of now is left as he is, too.
        world.alc.forget_leads();
        world.alc.faults().always("list_leads", Fault::status(500));
        let found = synced(&world, true).await;
        let silent = BTreeMap::from([(goes_on.record_id.clone(), "alc-silent".to_owned())]);
        assert_eq!(left(&found), silent, "{found}");
        assert_eq!(world.attio.status(&goes_on.record_id).as_deref(), Some("Pending"));
        // Nor does a gateway say in ALC's place that nobody is there.
        world.alc.faults().always("list_leads", Fault::status(404));
        for _ in 0..2 {
            let found = synced(&world, true).await;
            assert_eq!(left(&found), silent, "{found}");
            assert_eq!(world.attio.status(&goes_on.record_id).as_deref(), Some("Pending"));
        }
    }
}

scenario! {
    async fn more_than_a_page_is_read_though_attio_fails_in_between(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.synced(&app, &ada).await;
        set_back(&world, &ada);
        for _ in 0..620 {
            world.attio.edit(&world.person().record_id, "alc_status", "Complete");
        }
        let limited = || Fault::status_with(429, ("retry-after", "3"), json!({ "status_code": 429 }));
        world.attio.faults().next("query_records", limited());
        world.attio.faults().next("query_records", Fault::status(500));
        world.attio.faults().next("query_records", Fault::Truncated);
        world.attio.faults().next("get_record", Fault::status(503));
        let found = synced(&world, false).await;
        assert_eq!((counts(&found), &found["last_error"]), ([621, 1, 0], &Value::Null), "{found}");
        world.shows(&ada, "Complete").await;
        assert!(world.attio.journal().count("query_records") > 3 + 2, "a page that fails is asked for in parts");
    }
}

scenario! {
    async fn a_lead_that_only_a_newer_version_reads_is_named_and_the_others_are_asked_for(setup: Setup) {
        let (mut world, app) = setup.with("ALC__POLL_AFTER", "0s").connected().await;
        let (ada, bob) = (world.person(), world.person());
        for person in [&ada, &bob] {
            app.press(person).await.expect(201);
            world.shows(person, "Pending").await;
            world.synced(&app, person).await;
        }
        world.alc.finish_silently(&bob.record_id, "qualified");
        world.pass_slowly(MINUTE, 6).await;
        // Attio's list does not name the person, so that only ours can.
        world.attio.edit(&ada.record_id, "alc_status", "Failed");
        made_newer(&mut world, &ada).await;
        let found = synced(&world, false).await;
        assert_eq!(left(&found), BTreeMap::from([(ada.record_id.clone(), "unreadable".to_owned())]));
        assert_eq!(found["left"], 1, "{found}");
        world.shows(&bob, "Complete").await;
    }
}

scenario! {
    async fn two_wishes_at_once_are_one_sync(setup: Setup) {
        let (world, _app) = setup.connected().await;
        let wish = || Some(json!({ "all": true }));
        let last = world.replicas().len() - 1;
        let (one, other) = tokio::join!(
            asked(&world, 0, Method::POST, "/operate/syncs", wish()),
            asked(&world, last, Method::POST, "/operate/syncs", wish()),
        );
        let (one, other) = (one.expect(200).json(), other.expect(200).json());
        assert_eq!(one["syncs"][0]["sync_id"], other["syncs"][0]["sync_id"]);
        assert_eq!(one["begun"].as_u64().zip(other["begun"].as_u64()).map(|(one, other)| one + other), Some(1));
        let found = ended(&world).await;
        assert_eq!(counts(&found), [0, 0, 0], "there is nobody yet: {found}");
        assert_eq!(world.attio.journal().count("query_records"), 1);
        let nobody = json!({ "workspace_id": "3a6ae7e0-5b0f-4a51-9d0b-3c4a1b2c3d4e" });
        asked(&world, 0, Method::POST, "/operate/syncs", Some(nobody)).await.expect(404);
        asked(&world, 0, Method::POST, "/operate/syncs", Some(json!({}))).await.expect(400);
    }
}

scenario! {
    async fn a_press_meets_the_writing_off_of_its_record(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        set_back(&world, &ada);
        let hold = world.attio.faults().hold("patch_record", Stage::Before);
        begin(&world, true).await;
        let arrives = async || world.attio.faults().withheld() > 0;
        world.pass_until("it is about to be written off", SECOND, MINUTE * 5, arrives).await;
        world.while_time_passes(app.press(&ada)).await;
        hold.release();
        let found = ended(&world).await;
        assert_eq!((counts(&found)[1], counts(&found)[2]), (0, 0), "nothing differs: {found}");
        world.synced(&app, &ada).await;
        world.shows(&ada, "Pending").await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(world.attio.status(&ada.record_id).as_deref(), Some("Pending"), "and stays so");
    }
}

scenario! {
    async fn by_the_clock_a_sync_begins_once_in_each_while(setup: Setup) {
        let (world, app) = setup.with("SYNC__EVERY", "24h").connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.synced(&app, &ada).await;
        let first = async || sync(&world).await["state"] == "done";
        world.pass_until("the first one has ended", MINUTE * 5, HOUR * 2, first).await;
        let before = sync(&world).await;
        set_back(&world, &ada);
        world.pass_slowly(HOUR * 4, 5).await;
        assert_eq!(sync(&world).await["sync_id"], before["sync_id"], "not yet");
        let next = async || sync(&world).await["mended"] == 1;
        world.pass_until("the next one has mended it", MINUTE * 10, HOUR * 6, next).await;
        world.shows(&ada, "Complete").await;
        let pages = world.attio.journal().count("query_records");
        assert_eq!(pages, 2, "one of all replicas does it");
        world.pass_slowly(HOUR, 3).await;
        assert_eq!(world.attio.journal().count("query_records"), pages);
    }
}

#[test]
fn a_workspace_that_has_left_is_not_synced_and_its_sync_goes_with_it() {
    run(async {
        let (world, app) = Setup::sqlite().attio_grants().connected().await;
        app.connection_removed().await.expect(202);
        let gone = async || {
            let page = asked(&world, 0, Method::GET, "/operate/connections", None).await.expect(200).json();
            page["connections"][0]["connections"] == json!([])
        };
        let wish = json!({ "workspace_id": world.attio.workspace_id() });
        let begun = asked(&world, 0, Method::POST, "/operate/syncs", Some(wish)).await;
        assert!([200, 404].contains(&begun.status), "{begun:?}");
        world.pass_until("the connection is gone", MINUTE, DAY * 2, gone).await;
        world.pass(DAY).await;
        let all = asked(&world, 0, Method::POST, "/operate/syncs", Some(json!({ "all": true }))).await;
        let all = all.expect(200).json();
        assert_eq!(all["syncs"], json!([]));
        let passed_over = json!([{ "workspace_id": world.attio.workspace_id(), "reason": "left" }]);
        assert_eq!(all["passed_over"], passed_over, "and it is named");
    });
}

#[test]
fn the_command_waits_and_says_by_its_code_whether_something_is_left() {
    run(async {
        let (world, _app) = Setup::sqlite().connected().await;
        let ada = world.person();
        set_back(&world, &ada);
        let mut settings = world.settings.clone();
        settings.set("MANAGEMENT__BIND", &world.replicas()[0].management.to_string());
        let command =
            async |arguments: &[&str]| world.while_time_passes(process::command(&settings, &[], arguments)).await;

        let (code, text) = command(&["sync"]).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("1 checked, 0 mended, 1 left") && text.contains(&*ada.record_id), "{text}");
        assert!(text.contains("] 1 running"), "how far it is, as lines: {text}");
        let workspace = world.attio.workspace_id();
        let (code, text) = command(&["sync", "--workspace", &workspace, "--mend", "--json"]).await;
        let told = &text[text.find("{\n").expect("JSON")..=text.rfind('}').expect("JSON")];
        let told: Value = serde_json::from_str(told).expect("JSON");
        assert_eq!((code, counts(&told)), (Some(0), [1, 1, 0]), "{text}");
        let (code, text) = command(&["sync"]).await;
        assert_eq!(code, Some(0), "{text}");
        world.attio.faults().always("query_records", Fault::status(403));
        let (code, text) = command(&["sync"]).await;
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("refused") && text.contains("forbidden"), "{text}");
    });
}

#[test]
fn a_sync_goes_on_after_a_kill_on_sqlite() {
    run(goes_on_after_kills(Setup::sqlite()));
}

#[test]
fn a_sync_goes_on_after_a_kill_on_redis() {
    run(goes_on_after_kills(Setup::redis()));
}

async fn goes_on_after_kills(setup: Setup) {
    const PEOPLE: usize = 40;
    let setup = setup.with("ATTIO__WRITES_PER_SECOND", "1000").with("ALC__TIMEOUT", "500ms");
    let mut world = setup.with("ATTIO__TIMEOUT", "500ms").with("RETRY__SCHEDULE", "200ms").start().await;
    let mut process = world.in_a_process().await;
    let _app = world.connect().await;
    let people: Vec<_> = (0..PEOPLE).map(|_| world.person()).collect();
    people.iter().for_each(|person| set_back(&world, person));
    world.attio.faults().always("patch_record", Fault::late(60));
    let url = format!("http://{}/operate/syncs", process.management());
    let wish = json!({ "all": true, "mend": true });
    send(world.client.post(&url).json(&wish)).await.expect(200);
    for part in [10, 25] {
        let is_so_far = async || (world.attio.journal().count("patch_record") >= part).then_some(());
        eventually_within(MINUTE, "some are written off", is_so_far).await;
        process.kill();
        process.start().await;
    }
    let found = eventually_within(MINUTE * 2, "the sync ends", async || {
        let page = send(world.client.get(&url)).await.expect(200).json();
        (page["syncs"][0]["state"] == "done").then(|| page["syncs"][0].clone())
    })
    .await;
    assert_eq!(counts(&found), [PEOPLE as u64, PEOPLE as u64, 0], "each once: {found}");
    for person in &people {
        assert_eq!(world.attio.status(&person.record_id).as_deref(), Some("Failed"));
    }
    assert!(world.attio.journal().count("query_records") <= 2, "it did not begin anew");
    assert_eq!(process.terminate().await, Some(0));
}
