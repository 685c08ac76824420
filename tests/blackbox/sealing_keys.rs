//! The sealing key is rotated again and again: what the one before sealed is sealed anew in time, whatever it is.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    attio_app::{AttioApp, authorize_url, lead_body},
    harness::{HOUR, MINUTE, Person, Setup, World, scenario},
    http::send,
    process::{self, Process},
};

/// How `store check --json` names what no configured key opens.
const UNOPENED: &str = r#""fault": "sealed""#;

/// The next key takes the place of the present one, which an operator keeps as the previous one for as long as there is
/// something that only it opens: a walk over the store leaves consents that are under way to the next.
async fn rotate(world: &mut World) {
    world.settings.rotate_keys();
    world.restart().await;
    all_is_sealed_anew(world).await;
}

/// Waits for the walks over the store. Some take more steps of the clock on a busy machine.
async fn all_is_sealed_anew(world: &World) {
    let mut without = world.settings.clone();
    without.set("KEYS__SEALING_PREVIOUS", "");
    let mut told = String::new();
    for _ in 0..10 {
        world.pass_slowly(MINUTE * 3, 8).await;
        let (code, said) = process::command(&without, &[], &["store", "check", "--json"]).await;
        assert!(code != Some(2), "the store can be read: {said}");
        if !said.contains(UNOPENED) {
            return;
        }
        told = said;
    }
    panic!("it is not sealed anew: {told}");
}

fn body_with_a_workflow(world: &World, person: &Person, step: &str) -> serde_json::Value {
    let mut body = lead_body(person);
    body["finish_callback_url"] = world.attio.callback_url(step).into();
    body
}

async fn put_trigger(world: &World, app: &AttioApp) -> u16 {
    let body = json!({ "callback_url": world.attio.callback_url("trigger") });
    send(app.request(Method::PUT, "/v1/triggers/a").json(&body)).await.status
}

scenario! {
    async fn two_rotations_leave_nothing_behind(setup: Setup) {
        let mut world = setup.impatient().with("RETRY__SCHEDULE", "1s,1m").attio_grants().start().await;
        world.attio.configure(|settings| settings.https_webhooks_only = false);
        let app = world.connect().await;
        assert_eq!(put_trigger(&world, &app).await, 201);
        let (ada, bob, carol) = (world.person(), world.person(), world.person());
        app.press_body(&body_with_a_workflow(&world, &ada, "ada")).await.expect(201);
        world.shows(&ada, "Pending").await;
        // ALC's tokens of this consent wait, and cannot be given back while ALC is down.
        let mut browser = world.browser();
        let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        let callback = browser.consent(consent.as_str()).await;
        browser.visit(&callback).await.expect(302);
        assert_eq!(world.alc.living_grants(), 2);
        world.alc.server().go_down().await;
        app.press_body(&body_with_a_workflow(&world, &bob, "bob")).await.expect(202);

        rotate(&mut world).await;
        rotate(&mut world).await;

        world.alc.server().come_up().await;
        assert_eq!(app.connection().await.expect(200).json()["status"], "connected");
        let out = async || app.lead_says(&bob, "status").await == "pending";
        world.pass_until("the lead that waited goes out", MINUTE, HOUR, out).await;
        let sent = world.alc.leads_of(&bob.record_id);
        assert_eq!(sent.len(), 1, "with its name and number");
        app.press(&carol).await.expect(201);
        for person in [&ada, &bob] {
            // Signed with the webhook's secret.
            world.call_back(person, "qualified").await;
            world.shows(person, "Complete").await;
        }
        let told = async || ["ada", "bob"].iter().all(|step| world.attio.told(step).len() == 1);
        world.pass_until("the workflows are told", MINUTE, HOUR, told).await;
        let told = async || world.attio.told("trigger").len() == 2;
        world.pass_until("the trigger is told of both", MINUTE, HOUR, told).await;
        let signed = world.attio.event("record.deleted", &carol.record_id);
        assert_eq!(world.attio.deliver(vec![signed]).await, [200], "Attio's signature is known");
        let given_back = async || world.alc.living_grants() == 1;
        world.pass_until("the abandoned consent is given back", MINUTE * 10, HOUR * 6, given_back).await;
    }
}

scenario! {
    async fn tokens_that_no_key_opens_ask_for_a_reconnect_and_live_on_when_the_key_is_put_back(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        let kept = world.settings.clone();
        world.settings.rotate_keys();
        world.settings.rotate_keys();
        world.settings.set("KEYS__SIGNING", &kept.get("KEYS__SIGNING"));
        world.restart().await;
        assert_eq!(app.connection().await.expect(200).json()["status"], "reauthorization-required");
        let operate = format!("http://{}/operate/connections", world.replicas()[0].management);
        let told = send(world.client.get(operate)).await.expect(200).json()["connections"][0].clone();
        assert_eq!(told["status"], "reauthorization-required");
        assert!(told["advice"].as_str().expect("advice").contains("KEYS__SEALING_PREVIOUS"), "{told}");
        let ada = world.person();
        app.press(&ada).await.expect_problem(409, "reauthorization-required");
        world.pass_slowly(MINUTE * 3, 4).await;
        world.settings = kept;
        world.restart().await;
        assert_eq!(app.connection().await.expect(200).json()["status"], "connected");
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
    }
}

scenario! {
    /// As a process of its own tells it: the metrics of one process are those of all services in it.
    async fn the_metrics_say_how_many_documents_are_left(setup: Setup) {
        let (mut world, _app) = setup.connected().await;
        let replicas = world.replicas().len();
        world.stop().await;
        world.settings.rotate_keys();
        assert_eq!(left(&world).await, "1", "the workspace");
        for _ in 0..replicas {
            world.start_replica().await;
        }
        all_is_sealed_anew(&world).await;
        world.stop().await;
        assert_eq!(left(&world).await, "0");
    }
}

/// What a process that has just looked says.
async fn left(world: &World) -> String {
    let mut process = Process::new(&world.settings);
    process.start().await;
    let metrics = format!("http://{}/metrics", process.management());
    let mut left = None;
    while left.is_none() {
        let answer = send(world.client.get(&metrics)).await.expect(200);
        let line = answer.body.lines().find_map(|line| line.strip_prefix("alc_connector_sealed_by_previous "));
        // It may not have looked yet.
        left = line.filter(|line| *line != "NaN").map(str::to_owned);
    }
    process.kill();
    left.unwrap_or_default()
}
