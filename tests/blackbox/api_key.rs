//! An API key of Attio's is for one workspace: nothing is written to another, nothing is lost there, and all goes on
//! when its key is put back.

use sandbox::Fault;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    attio_app::AttioApp,
    harness::{HOUR, MINUTE, Person, Setup, World, scenario},
};

async fn status(app: &AttioApp) -> Value {
    app.connection().await.expect(200).json()["status"].clone()
}

/// What is known of the record here.
async fn attio(app: &AttioApp, person: &Person) -> Value {
    app.lead(person).await.expect(200).json()["attio"].clone()
}

/// Attio says that the key is another workspace's, in which no record of ours is.
fn key_is_anothers(world: &World) {
    let other = json!({
        "active": true, "workspace_id": Uuid::new_v4().to_string(), "workspace_name": "Another",
        "scope": "record_permission:read-write object_configuration:read-write webhook:read-write",
    });
    world.attio.faults().always("self", Fault::status_with(200, ("content-type", "application/json"), other));
    let gone = json!({ "status_code": 404, "type": "invalid_request_error", "code": "not_found", "message": "No." });
    world.attio.faults().always("patch_record", Fault::status_with(404, ("content-type", "application/json"), gone));
}

async fn says_that_it_has_no_key(world: &World, app: &AttioApp) {
    let known = async || status(app).await == "reauthorization-required";
    world.pass_until("the connection says that it has no key", MINUTE, HOUR, known).await;
}

fn key_is_put_back(world: &World) {
    world.attio.faults().clear_all();
}

scenario! {
    async fn another_workspaces_key_writes_nothing_and_loses_nothing(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let written = world.attio.journal().count("patch_record");
        key_is_anothers(&world);
        world.restart().await;
        says_that_it_has_no_key(&world, &app).await;
        world.call_back(&ada, "qualified").await;
        app.press(&bob).await.expect(201);
        world.pass_slowly(HOUR, 3).await;
        assert_eq!(world.attio.journal().count("patch_record"), written, "nothing is written to the other workspace");
        assert_eq!((attio(&app, &ada).await, attio(&app, &bob).await), (json!("scheduled"), json!("scheduled")));
        assert_eq!(world.alc.leads_of(&bob.record_id).len(), 1, "leads go to ALC all the same");

        key_is_put_back(&world);
        world.restart().await;
        world.shows(&ada, "Complete").await;
        world.shows(&bob, "Pending").await;
        assert_eq!(status(&app).await, "connected");
    }
}

scenario! {
    /// By a replica that has yet to hear from Attio whose the key is.
    async fn a_workspace_without_its_key_is_shown_as_such_while_attio_is_away(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        key_is_anothers(&world);
        world.restart().await;
        says_that_it_has_no_key(&world, &app).await;
        key_is_put_back(&world);
        world.attio.faults().always("self", Fault::status(503));
        world.restart().await;
        assert_eq!(status(&app).await, "reauthorization-required");
    }
}

scenario! {
    async fn an_attio_that_is_away_at_the_start_delays_what_it_is_owed_only(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let written = world.attio.journal().count("patch_record");
        world.attio.faults().always("self", Fault::status(503));
        world.restart().await;
        assert_eq!(status(&app).await, "connected");
        world.call_back(&ada, "qualified").await;
        app.press(&bob).await.expect(201);
        world.pass_slowly(MINUTE, 5).await;
        assert_eq!(world.attio.journal().count("patch_record"), written, "whose the key is is not known");
        world.attio.faults().clear("self");
        // The wait for Attio is bounded.
        let complete = async || world.attio.status(&ada.record_id).as_deref() == Some("Complete");
        world.pass_until("Attio shows Complete", MINUTE / 6, MINUTE * 3, complete).await;
        world.shows(&bob, "Pending").await;
    }
}
