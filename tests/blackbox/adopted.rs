//! Operation `alcCallback` about records that this workspace never sent: ALC's webhooks are account-wide, so that two
//! workspaces on one account hear of each other's leads.

use std::time::Duration;

use sandbox::{Callback, Fault};
use serde_json::{Value, json};

use crate::support::{
    attio_app::AttioApp,
    harness::{DAY, MINUTE, Person, Setup, World, scenario},
    http::send,
};

const SECOND: Duration = Duration::from_secs(1);

/// A workflow of this workspace that hears of every lead, under this name.
async fn trigger(world: &World, app: &AttioApp, name: &str) {
    let body = json!({ "callback_url": world.attio.callback_url(name) });
    send(app.request(reqwest::Method::PUT, &format!("/v1/triggers/{name}")).json(&body)).await.expect(201);
}

fn no_such_record() -> Fault {
    let body = json!({
        "status_code": 404, "type": "invalid_request_error", "code": "not_found", "message": "Record not found.",
    });
    Fault::status_with(404, ("content-type", "application/json"), body)
}

async fn forgotten(world: &World, app: &AttioApp, person: &Person) {
    let gone = async || app.lead(person).await.status == 404;
    world.pass_until("it is forgotten", SECOND, MINUTE, gone).await;
    assert_eq!(app.leads("").await.expect(200).json()["leads"], json!([]));
}

/// A press works as the first one of a record does.
async fn pressed_as_a_fresh_one(world: &World, app: &AttioApp, person: &Person, name: &str) {
    // A day has passed, and ALC's token with it: while it is renewed, a press may be answered before ALC has the lead.
    let pressed = app.press(person).await;
    assert!([201, 202].contains(&pressed.status), "{pressed:?}");
    world.shows(person, "Pending").await;
    world.call_back(person, "qualified").await;
    world.shows(person, "Complete").await;
    let told = async || world.attio.told(name).len() == 1;
    world.pass_until("the trigger is told", SECOND, MINUTE, told).await;
    assert_eq!(world.attio.told(name)[0]["result"], "qualified");
    assert_eq!(world.attio.history(&person.record_id), ["Pending", "Complete"]);
}

scenario! {
    async fn a_record_that_attio_does_not_have_is_forgotten_and_no_trigger_hears_of_it(setup: Setup) {
        let (world, app) = setup.connected().await;
        trigger(&world, &app, "trigger").await;
        let ada = world.person();
        world.attio.faults().next("patch_record", no_such_record());
        world.tell(Callback::new(&ada.record_id, "another's").lead_id("another's"), 200).await;
        forgotten(&world, &app, &ada).await;
        // ALC may call again, and is answered as before.
        world.attio.faults().next("patch_record", no_such_record());
        world.tell(Callback::new(&ada.record_id, "another's").lead_id("another's"), 200).await;
        forgotten(&world, &app, &ada).await;
        world.pass_slowly(DAY, 1).await;
        assert!(world.attio.told("trigger").is_empty(), "told of another workspace's lead");
        pressed_as_a_fresh_one(&world, &app, &ada, "trigger").await;
    }
}

scenario! {
    async fn of_two_workspaces_on_one_alc_account_each_keeps_to_its_own_leads(setup: Setup) {
        let (world, first) = setup.attio_grants().connected().await;
        world.attio.configure(|settings| settings.workspace_id = uuid::Uuid::new_v4().to_string());
        let second = world.connect().await;
        let [of_first, of_second] = [0, 1].map(|at| world.alc.webhooks()[at].webhook_id.clone());
        trigger(&world, &first, "first").await;
        trigger(&world, &second, "second").await;
        let ada = world.person();
        first.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.attio.faults().next("patch_record", no_such_record());
        world.tell(Callback::new(&ada.record_id, "qualified").to(&of_second), 200).await;
        forgotten(&world, &second, &ada).await;
        world.tell(Callback::new(&ada.record_id, "qualified").to(&of_first), 200).await;
        let told = async || world.attio.told("first").len() == 1;
        world.pass_until("its own trigger is told", SECOND, MINUTE, told).await;
        world.shows(&ada, "Complete").await;
        world.pass_slowly(MINUTE, 3).await;
        assert!(world.attio.told("second").is_empty(), "told of another workspace's lead");
    }
}

scenario! {
    async fn triggers_hear_of_an_adopted_lead_once_attio_has_taken_it(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        trigger(&world, &app, "trigger").await;
        let ada = world.person();
        world.attio.faults().always("patch_record", Fault::status(503));
        world.tell(Callback::new(&ada.record_id, "qualified").lead_id("lost-by-the-store"), 200).await;
        world.pass_slowly(MINUTE, 5).await;
        assert!(world.attio.told("trigger").is_empty(), "nothing is known of the record yet");
        assert_eq!(app.lead_says(&ada, "status").await, "complete");
        world.attio.faults().clear("patch_record");
        let told = async || world.attio.told("trigger").len() == 1;
        world.pass_until("the trigger is told", MINUTE, DAY, told).await;
        let news: Value = world.attio.told("trigger")[0].clone();
        assert_eq!((&news["lead_id"], &news["result"]), (&json!("lost-by-the-store"), &json!("qualified")));
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn a_press_proves_the_record_of_an_adopted_lead(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        trigger(&world, &app, "trigger").await;
        let ada = world.person();
        world.attio.faults().always("patch_record", Fault::status(503));
        world.tell(Callback::new(&ada.record_id, "unreachable").lead_id("earlier"), 200).await;
        world.pass_slowly(MINUTE, 1).await;
        app.press(&ada).await.expect(201);
        let told = async || world.attio.told("trigger").len() == 1;
        world.pass_until("the trigger is told of the first", SECOND, MINUTE, told).await;
        world.attio.faults().clear("patch_record");
        world.call_back(&ada, "qualified").await;
        let told = async || world.attio.told("trigger").len() == 2;
        world.pass_until("and of the second", MINUTE, DAY, told).await;
        world.shows(&ada, "Complete").await;
    }
}
