//! Operators: `/operate/…` on the management listener, and the commands that speak to it. What happened to a record,
//! what was given up, and what is mended, once.

use reqwest::{Method, RequestBuilder};
use sandbox::Fault;
use serde_json::{Value, json};

use crate::support::{
    harness::{DAY, HOUR, MINUTE, Person, Setup, World, run, scenario},
    http::{Answer, send},
    process, secrets,
};

/// A request to the first replica's management listener.
fn request(world: &World, method: Method, path: &str) -> RequestBuilder {
    world.client.request(method, format!("http://{}{path}", world.replicas()[0].management))
}

async fn get(world: &World, path: &str) -> Answer {
    let answer = send(request(world, Method::GET, path)).await;
    // Whatever an operator reads is searched for names, numbers and secrets when the world ends.
    secrets::hear(answer.body.as_bytes());
    answer
}

async fn post(world: &World, path: &str, body: &Value) -> Answer {
    let answer = send(request(world, Method::POST, path).json(body)).await;
    secrets::hear(answer.body.as_bytes());
    answer
}

async fn letters(world: &World) -> Vec<Value> {
    let page = get(world, "/operate/dead-letters").await.expect(200).json();
    page["dead_letters"].as_array().expect("letters").clone()
}

/// Replays exactly this letter; what that came to.
async fn replay(world: &World, letter: &Value) -> Value {
    let one = json!({
        "workspace_id": letter["workspace_id"], "record_id": letter["record_id"], "id": letter["id"], "by": "ada",
    });
    post(world, "/operate/dead-letters/replay", &one).await.expect(200).json()["replayed"][0].clone()
}

async fn fails(world: &World, person: &Person) {
    let failed = async || {
        get(world, &format!("/operate/leads/{}", person.record_id)).await.json()["leads"][0]["status"] == "failed"
    };
    world.pass_until("the send fails for good", MINUTE * 20, HOUR * 6, failed).await;
}

/// A command of the binary, as an operator runs it on the service's machine.
async fn command(world: &World, arguments: &[&str]) -> (i32, String) {
    let mut settings = world.settings.clone();
    settings.set("MANAGEMENT__BIND", &world.replicas()[0].management.to_string());
    let (code, text) = process::command(&settings, &[], arguments).await;
    (code.unwrap_or(-1), text)
}

scenario! {
    async fn a_lead_that_never_reached_alc_is_replayed_once_though_asked_twice(setup: Setup) {
        let (world, app) = setup.impatient().with("LEADS__SEND_DEADLINE", "1h").connected().await;
        let ada = world.person();
        world.alc.server().go_down().await;
        world.while_time_passes(app.press(&ada)).await.expect(202);
        fails(&world, &ada).await;
        // Attio takes a title before the worker has written that down, which might come behind what follows here.
        world.synced(&app, &ada).await;
        let found = letters(&world).await;
        let letter = found.iter().find(|letter| letter["kind"] == "lead").expect("a failed lead").clone();
        assert_eq!((&letter["reason"], &letter["advice"]), (&json!("not-sent"), &Value::Null));
        world.alc.server().come_up().await;
        let (first, second) = tokio::join!(replay(&world, &letter), replay(&world, &letter));
        let mut outcomes = [first["outcome"].clone(), second["outcome"].clone()];
        outcomes.sort_by_key(Value::to_string);
        assert_eq!(outcomes, [json!("already"), json!("replayed")]);
        let out = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it goes out", MINUTE, HOUR, out).await;
        world.shows(&ada, "Pending").await;
        world.synced(&app, &ada).await;
        assert_eq!(replay(&world, &letter).await["outcome"], "already");
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1, "one SMS");
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.synced(&app, &ada).await;
        assert_eq!(letters(&world).await, Vec::<Value>::new());
        let told = get(&world, &format!("/operate/leads/{}", ada.record_id)).await.json()["leads"][0]["history"].clone();
        let words = told.as_array().expect("a list").iter().map(|entry| entry["what"].clone());
        // The first try after the replay may meet a connection that ALC's end has cut.
        let told: Vec<_> = words.filter(|word| word != "alc-failed").collect();
        let expected = [
            "pressed",
            "failed-not-sent",
            "attio-shows-failed",
            "replayed",
            "pressed",
            "accepted",
            "attio-shows-pending",
            "complete",
            "attio-shows-complete",
        ];
        assert_eq!(told, expected, "what happened to the record");
        let audit = secrets::lines_with("an operator has changed something");
        let record = &ada.record_id;
        assert!(audit.iter().any(|line| line.contains("ada (loopback)") && line.contains(&**record)), "{audit:?}");
    }
}

#[test]
fn a_send_of_unknown_outcome_is_never_sent_again_by_a_replay_or_a_retry() {
    run(async {
        let setup = Setup::sqlite().minimal_alc().impatient().with("LEADS__SEND_DEADLINE", "1h");
        let (world, app) = setup.connected().await;
        let ada = world.person();
        // ALC takes it each time, and says that it does not.
        world.alc.faults().always("create_lead", Fault::done_but_500());
        world.while_time_passes(app.press(&ada)).await.expect(202);
        let asked = |world: &World| world.alc.journal().count("create_lead");
        let before = asked(&world);
        let retry = format!("/operate/leads/{}/retry", ada.record_id);
        assert_eq!(post(&world, &retry, &json!({})).await.expect(200).json()["tried"], json!([]));
        world.pass(std::time::Duration::from_micros(1)).await;
        assert_eq!(asked(&world), before, "the asking sends nothing");
        fails(&world, &ada).await;
        let before = asked(&world);
        let letter = letters(&world).await.into_iter().find(|letter| letter["kind"] == "lead").expect("a failed lead");
        assert!(letter["advice"].as_str().is_some_and(|advice| advice.contains("a second SMS")), "{letter}");
        let refused = replay(&world, &letter).await;
        assert_eq!(refused["outcome"], "refused", "{refused}");
        world.pass_slowly(MINUTE, 10).await;
        assert_eq!(asked(&world), before);
    });
}

#[test]
fn a_person_whom_alc_already_has_is_not_tried_again_by_a_replay() {
    run(async {
        let (world, app) = Setup::sqlite().connected().await;
        let ada = world.person();
        world.alc.faults().next("create_lead", Fault::status(409));
        app.press(&ada).await.expect_problem(422, "lead-rejected");
        let letter = letters(&world).await.into_iter().find(|letter| letter["kind"] == "lead").expect("a failed lead");
        assert_eq!(letter["reason"], "rejected");
        let before = world.alc.journal().count("create_lead");
        let refused = replay(&world, &letter).await;
        assert_eq!(refused["outcome"], "refused", "{refused}");
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(world.alc.journal().count("create_lead"), before);
    });
}

#[test]
fn a_write_that_attio_refused_is_replayed_and_shown() {
    run(async {
        let (world, app) = Setup::sqlite().connected().await;
        let ada = world.person();
        let body = json!({ "status_code": 403, "type": "auth_error", "code": "billing_error", "message": "words" });
        let refusal = Fault::status_with(403, ("content-type", "application/json"), body);
        world.attio.faults().always("patch_record", refusal);
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        let refused = async || {
            let page = get(&world, "/operate/leads?status=complete&failing=true").await.json();
            page["leads"][0].is_object() && letters(&world).await.iter().any(|letter| letter["kind"] == "attio-write")
        };
        world
            .pass_until("Attio's refusal is a dead letter", std::time::Duration::from_millis(50), MINUTE, refused)
            .await;
        let letter = letters(&world).await.into_iter().find(|letter| letter["kind"] == "attio-write").expect("there");
        assert_eq!((&letter["reason"], &letter["advice"]), (&json!("refused"), &Value::Null));
        world.attio.faults().clear("patch_record");
        let metrics = get(&world, "/metrics").await.body;
        let counter = "alc_connector_dead_letters_total{kind=\"attio-write\",reason=\"refused\"} ";
        let counted = metrics.lines().find_map(|line| line.strip_prefix(counter)?.parse::<u64>().ok());
        assert!(counted.is_some_and(|counted| counted > 0), "{metrics}");
        let filter = json!({ "kind": "attio-write", "reason": "refused", "by": "ada" });
        let done = post(&world, "/operate/dead-letters/replay", &filter).await.expect(200).json();
        assert_eq!(done["replayed"][0]["outcome"], "replayed", "{done}");
        world.shows(&ada, "Complete").await;
        let again = post(&world, "/operate/dead-letters/replay", &filter).await.expect(200).json();
        assert_eq!(again, json!({ "replayed": [], "next_cursor": null }));
    });
}

#[test]
fn a_stuck_lead_is_explained_and_freed_by_commands() {
    run(async {
        let (mut world, app) = Setup::sqlite().impatient().connected().await;
        let ada = world.person();
        world.alc.server().go_down().await;
        world.while_time_passes(app.press(&ada)).await.expect(202);
        let stuck = async || {
            let lead = get(&world, &format!("/operate/leads/{}", ada.record_id)).await.json()["leads"][0].clone();
            lead["next"]["why"].as_str().is_some_and(|why| why.contains("ALC")) && lead["failing"] == true
        };
        world.pass_until("it fails at ALC", MINUTE, HOUR, stuck).await;
        let (code, told) = command(&world, &["leads", "show", &ada.record_id]).await;
        assert_eq!(code, 0, "{told}");
        for words in ["queued", "submit", "ALC", "ATTEMPTS", "alc-failed"] {
            assert!(told.contains(words), "no {words} in:\n{told}");
        }
        let (code, listed) = command(&world, &["leads", "list", "--failing", "--json"]).await;
        let json: Value = serde_json::from_str(&listed).unwrap_or_else(|_| panic!("no JSON: {listed}"));
        assert_eq!((code, &json["leads"][0]["record_id"]), (0, &json!(ada.record_id)));
        let (code, gates) = command(&world, &["gates", "list"]).await;
        assert!(code == 0 && gates.contains("alc"), "{gates}");
        world.alc.server().come_up().await;
        for freed in [&["gates", "open", "--all"][..], &["leads", "retry", &ada.record_id, "--by", "ada"]] {
            let (code, told) = command(&world, freed).await;
            assert_eq!(code, 0, "{told}");
        }
        let out = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it goes out", std::time::Duration::from_secs(1), MINUTE * 2, out).await;
        let (code, connections) = command(&world, &["connections", "list"]).await;
        assert!(code == 0 && connections.contains("connected"), "{connections}");
        let (code, repaired) = command(&world, &["connections", "repair", &app.workspace_id]).await;
        assert!(code == 0 && repaired.contains("look-at-alc-webhook"), "{repaired}");
        let (code, unknown) = command(&world, &["leads", "show", "00000000-0000-4000-8000-000000000000"]).await;
        assert!(code == 1 && unknown.contains("No workspace has a lead of this record"), "{unknown}");
        let (code, doctor) = command(&world, &["doctor"]).await;
        assert!(code == 1 && doctor.contains("FAIL  clock"), "the pretend services' time is another: {doctor}");
        world.live_in_real_time();
        let (code, doctor) = command(&world, &["doctor"]).await;
        assert!(code == 0 && doctor.contains("ok    store") && doctor.contains("ok    ALC"), "{code}: {doctor}");
    });
}

#[test]
fn with_a_token_only_its_holder_operates_and_the_commands_send_it() {
    run(async {
        let token = "operators-token-of-a-test-0123456789";
        secrets::learn(token);
        let world = Setup::sqlite().with("MANAGEMENT__TOKEN", token).start().await;
        for path in
            ["/operate/leads", "/operate/dead-letters", "/operate/connections", "/operate/gates", "/operate/syncs"]
        {
            get(&world, path).await.expect_problem(401, "unauthorized");
            send(request(&world, Method::GET, path).bearer_auth(token)).await.expect(200);
            let public = world.client.get(format!("{}{path}", world.url())).send().await.expect("an answer");
            assert_eq!(public.status(), 404, "{path} is not for everybody");
        }
        let (code, told) = command(&world, &["leads", "list"]).await;
        assert_eq!(code, 0, "{told}");
    });
}

#[test]
fn a_web_page_on_the_operators_machine_is_no_operator() {
    run(async {
        let (world, _app) = Setup::sqlite().connected().await;
        let rebound = request(&world, Method::GET, "/operate/connections").header("host", "attacker.example:9090");
        send(rebound).await.expect_problem(403, "forbidden");
        let all = json!({ "all": true });
        let posted =
            request(&world, Method::POST, "/operate/gates").header("origin", "http://attacker.example").json(&all);
        send(posted).await.expect_problem(403, "forbidden");
        post(&world, "/operate/gates", &all).await.expect(200);
        post(&world, "/operate/gates", &json!({})).await.expect_problem(400, "invalid-request");
        post(&world, "/operate/dead-letters/replay", &json!({})).await.expect_problem(400, "invalid-request");
        get(&world, "/operate/leads?status=x&limit=0&cursor=y").await.expect_problem(400, "invalid-request");
    });
}

#[test]
fn a_list_goes_over_all_pages() {
    run(async {
        let (world, app) = Setup::sqlite().connected().await;
        let people: Vec<_> = (0..5).map(|_| world.person()).collect();
        for person in &people {
            app.press(person).await.expect(201);
        }
        let (mut seen, mut path) = (Vec::new(), "/operate/leads?limit=2".to_owned());
        loop {
            let page = get(&world, &path).await.expect(200).json();
            let leads = page["leads"].as_array().expect("leads").clone();
            seen.extend(leads.iter().map(|lead| lead["record_id"].as_str().expect("an id").to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            path = format!("/operate/leads?limit=2&cursor={next}");
        }
        seen.sort();
        let mut records: Vec<_> = people.iter().map(|person| person.record_id.clone()).collect();
        records.sort();
        assert_eq!(seen, records);
        world.pass(DAY).await;
    });
}

#[test]
fn a_change_whose_answer_is_lost_has_its_audit_line_too() {
    run(async {
        let (mut world, app) = Setup::redis().connected().await;
        let (ada, workspace) = (world.person(), app.workspace_id.clone());
        app.press(&ada).await.expect(201);
        world.redis().kill();
        let of_ada = json!({ "workspace_id": workspace, "by": "bo" });
        post(&world, &format!("/operate/leads/{}/retry", ada.record_id), &of_ada).await.expect(503);
        post(&world, &format!("/operate/connections/{workspace}/repair"), &json!({ "by": "bo" })).await.expect(503);
        let audit = secrets::lines_with("an operator has changed something");
        for (action, of) in [("retry", format!("{workspace}/{}", ada.record_id)), ("repair", workspace.to_string())] {
            let told =
                |line: &String| [&*format!("action=\"{action}\""), &*of, "unknown"].iter().all(|it| line.contains(it));
            assert!(audit.iter().any(told), "no line of the {action}: {audit:?}");
        }
        world.redis().start_again();
    });
}

#[test]
fn a_record_of_two_workspaces_is_tried_in_the_one_that_is_named() {
    run(async {
        let (world, first) = Setup::sqlite().attio_grants().connected().await;
        world.attio.configure(|settings| settings.workspace_id = uuid::Uuid::new_v4().to_string());
        let second = world.connect().await;
        let ada = world.person();
        for app in [&first, &second] {
            app.press(&ada).await.expect(201);
        }
        let retry = format!("/operate/leads/{}/retry", ada.record_id);
        let told = post(&world, &retry, &json!({})).await.expect_problem(400, "invalid-request").body;
        for app in [&first, &second] {
            assert!(told.contains(&*app.workspace_id), "{told}");
            let tried = post(&world, &retry, &json!({ "workspace_id": app.workspace_id })).await.expect(200).json();
            assert_eq!(tried["workspace_id"], json!(app.workspace_id));
        }
        let audit = secrets::lines_with("an operator has changed something");
        let of_ada = audit.iter().filter(|line| line.contains(&*ada.record_id)).count();
        assert_eq!(of_ada, 2, "nothing was tried before one was named: {audit:?}");
    });
}

#[test]
fn gates_are_opened_page_by_page_and_what_waits_there_goes_through_in_turn() {
    run(async {
        let (world, first) = Setup::sqlite().attio_grants().connected().await;
        world.attio.configure(|settings| settings.workspace_id = uuid::Uuid::new_v4().to_string());
        let second = world.connect().await;
        let people: Vec<_> = (0..4).map(|_| world.person()).collect();
        for person in &people {
            second.press(person).await.expect(201);
            world.shows(person, "Pending").await;
            world.synced(&second, person).await;
        }
        world.attio.server().go_down().await;
        first.press(&world.person()).await.expect(201);
        for person in &people {
            world.call_back(person, "qualified").await;
        }
        let of_second = format!("/operate/leads?workspace_id={}&waiting=true", second.workspace_id);
        let leads = async || get(&world, &of_second).await.json()["leads"].as_array().expect("a list").clone();
        // In how many seconds each is looked at.
        let dues = async || {
            let due = |lead: &Value| lead["due"].as_str().and_then(|due| due.parse::<jiff::Timestamp>().ok());
            let leads = leads().await;
            let now = world.now().as_second();
            leads.iter().filter_map(due).map(|due| due.as_second() - now).collect::<Vec<_>>()
        };
        let fail = async || {
            // Once the gate is shut, one of them at a time tries, and not each gets its turn.
            let fails = leads().await.iter().any(|lead| lead["failing"] == true);
            let gates = get(&world, "/operate/gates?closed=true").await.json()["gates"].as_array().map(Vec::len);
            let waits = dues().await.iter().filter(|due| **due > 10).count();
            fails && gates == Some(2) && waits == people.len()
        };
        world.pass_until("all wait long for Attio", std::time::Duration::from_secs(5), HOUR * 3, fail).await;
        let (mut opened, mut woken, mut requests, mut cursor) = (Vec::new(), 0, 0, Value::Null);
        loop {
            let body = json!({ "all": true, "limit": 1, "cursor": cursor });
            let page = post(&world, "/operate/gates", &body).await.expect(200).json();
            opened.extend(page["opened"].as_array().expect("a list").clone());
            woken += page["leads_woken"].as_u64().expect("a number");
            requests += 1;
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        let mut workspaces: Vec<_> = opened.iter().map(|gate| gate["workspace_id"].to_string()).collect();
        workspaces.sort();
        workspaces.dedup();
        assert_eq!((opened.len(), workspaces.len(), requests), (2, 2, 2), "a workspace a request: {opened:?}");
        assert!((4..=5).contains(&woken), "each lead that no worker has in hand: {woken}");
        let soon = dues().await.into_iter().filter(|due| (1..=5).contains(due)).count();
        assert!(soon >= 2, "they are looked at one after the other: {:?}", leads().await);
    });
}
