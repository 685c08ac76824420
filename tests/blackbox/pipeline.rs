//! `ATTIO__PIPELINE__…`: a result puts the person into a list, at the stage that it names.

use std::time::Duration;

use sandbox::{Fault, attio::refusal};
use serde_json::{Value, json};

use crate::support::{
    attio_app::AttioApp,
    harness::{HOUR, MINUTE, Person, Setup, World, scenario},
};

const LIST: &str = "sales";

/// A world whose Attio has the list.
async fn started(setup: Setup) -> World {
    let world = setup
        .with("ATTIO__PIPELINE__LIST", LIST)
        .with("ATTIO__PIPELINE__STAGE_ATTRIBUTE", "stage")
        .with("ATTIO__PIPELINE__STAGES", "qualified:Qualified, not_interested:Lost")
        .start()
        .await;
    world.attio.add_list(LIST, &["Qualified", "Lost", "New"]);
    world
}

async fn connected(setup: Setup) -> (World, AttioApp) {
    let world = started(setup).await;
    let app = world.connect().await;
    (world, app)
}

async fn pending(world: &World, app: &AttioApp) -> Person {
    let person = world.person();
    app.press(&person).await.expect(201);
    world.shows(&person, "Pending").await;
    person
}

async fn is(world: &World, app: &AttioApp, person: &Person, state: &str) {
    is_by(world, app, person, state, MINUTE).await;
}

/// As [`is`], for what takes its time.
async fn is_by(world: &World, app: &AttioApp, person: &Person, state: &str, step: Duration) {
    let is_so = async || app.lead(person).await.json()["pipeline"]["state"] == state;
    world.pass_until(&format!("the place is {state}"), step, step * 20, is_so).await;
}

fn stage(world: &World, person: &Person) -> Option<String> {
    world.attio.entry_value(LIST, &person.record_id, "stage")
}

/// A person archives a stage, or brings it back.
fn archive(world: &World, title: &str, is_archived: bool) {
    world.attio.change_list(LIST, |list| {
        let options = list.attributes.iter_mut().flat_map(|attribute| &mut attribute.options);
        options.filter(|option| option.title == title).for_each(|option| option.is_archived = is_archived);
    });
}

scenario! {
    async fn a_result_puts_the_person_at_its_stage(setup: Setup) {
        let (world, app) = connected(setup).await;
        let ada = pending(&world, &app).await;
        world.call_back(&ada, "Qualified").await;
        is(&world, &app, &ada, "written").await;
        assert_eq!(stage(&world, &ada).as_deref(), Some("Qualified"));
        let place = json!({ "state": "written", "stage": "Qualified", "last_error": null });
        assert_eq!(app.lead(&ada).await.json()["pipeline"], place);
        world.call_back(&ada, "not_interested").await;
        world.pass_slowly(MINUTE, 5).await;
        assert_eq!(world.attio.journal().count("assert_entry"), 1, "the first result stands");

        // The next send's result moves the same entry.
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.call_back(&ada, "not_interested").await;
        is(&world, &app, &ada, "written").await;
        assert_eq!(stage(&world, &ada).as_deref(), Some("Lost"));
        assert_eq!(world.attio.entries(LIST).len(), 1);
    }
}

scenario! {
    async fn a_result_that_names_no_stage_leaves_the_list_alone(setup: Setup) {
        let (world, app) = connected(setup).await;
        let ada = pending(&world, &app).await;
        world.call_back(&ada, "no answer").await;
        world.shows(&ada, "Complete").await;
        world.pass_slowly(MINUTE, 5).await;
        assert_eq!(world.attio.journal().count("assert_entry"), 0);
        assert!(app.lead(&ada).await.json().get("pipeline").is_none());
    }
}

scenario! {
    async fn an_answer_that_was_lost_is_written_again(setup: Setup) {
        let (world, app) = connected(setup).await;
        let ada = pending(&world, &app).await;
        world.attio.faults().times("assert_entry", 2, Fault::done_but_500());
        world.call_back(&ada, "qualified").await;
        is(&world, &app, &ada, "written").await;
        assert_eq!(world.attio.entries(LIST).len(), 1);
    }
}

scenario! {
    async fn a_stage_that_is_gone_is_a_refusal_that_says_so(setup: Setup) {
        let (world, app) = connected(setup).await;
        let ada = pending(&world, &app).await;
        archive(&world, "Qualified", true);
        world.call_back(&ada, "qualified").await;
        is(&world, &app, &ada, "failed").await;
        let lead = app.lead(&ada).await.json();
        assert!(lead["pipeline"]["last_error"].as_str().is_some_and(|error| error.contains("400")), "{lead}");
        assert_eq!((&lead["attio"], &lead["last_error"]), (&json!("synced"), &Value::Null), "the record is shown");
        assert!(world.attio.journal().count("assert_entry") <= 2, "slowly");
        archive(&world, "Qualified", false);
        is_by(&world, &app, &ada, "written", HOUR / 2).await;
        assert_eq!(stage(&world, &ada).as_deref(), Some("Qualified"));
    }
}

scenario! {
    async fn a_missing_scope_and_a_missing_list_are_named(setup: Setup) {
        let (world, app) = connected(setup).await;
        let ada = pending(&world, &app).await;
        world.attio.faults().next("assert_entry", refusal(403, "unauthorized", "The token lacks a scope."));
        world.call_back(&ada, "qualified").await;
        is(&world, &app, &ada, "failed").await;
        let error = async || app.lead(&ada).await.json()["pipeline"]["last_error"].as_str().unwrap_or_default().to_owned();
        assert!(error().await.contains("list_entry:read-write"), "{}", error().await);
        world.attio.change_list(LIST, |list| list.api_slug = "renamed".to_owned());
        let named = async || error().await.contains("ATTIO__PIPELINE__LIST");
        world.pass_until("the list is named", HOUR / 2, HOUR * 6, named).await;
        world.attio.change_list("renamed", |list| list.api_slug = LIST.to_owned());
        is_by(&world, &app, &ada, "written", HOUR / 2).await;
    }
}

scenario! {
    async fn the_list_that_sends_by_itself_is_refused_also_under_another_name(setup: Setup) {
        let id = "33ebdbe9-e529-47c9-b894-0ba25e9c15c0";
        let world = started(setup.with("ATTIO__SEND_ON_LIST", id)).await;
        world.attio.change_list(LIST, |list| id.clone_into(&mut list.list_id));
        let app = world.authorize().await;
        let problem = app.connection_added().await.expect_problem(422, "connect-refused").json();
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("name two lists")), "{problem}");
    }
}

scenario! {
    async fn what_the_list_lacks_is_named_at_connect(setup: Setup) {
        let world = started(setup).await;
        let refused = async |says: &[&str]| {
            let app = world.authorize().await;
            let problem = app.connection_added().await.expect_problem(422, "connect-refused").json();
            let detail = problem["detail"].as_str().expect("a detail").to_owned();
            for word in says.iter().chain(&["connect again"]) {
                assert!(detail.contains(word), "{word}: {detail}");
            }
            assert_eq!(world.alc.journal().count("create_webhook"), 0, "ALC is asked last");
        };
        let before = world.attio.lists().remove(0);
        world.attio.change_list(LIST, |list| list.api_slug = "other".to_owned());
        refused(&["no list `sales`", "ATTIO__PIPELINE__LIST"]).await;
        world.attio.change_list("other", |list| *list = before.clone());
        world.attio.change_list(LIST, |list| list.parent_object = vec!["companies".to_owned()]);
        refused(&["takes no people"]).await;
        world.attio.change_list(LIST, |list| {
            *list = before.clone();
            list.attributes.iter_mut().for_each(|stage| stage.api_slug = "phase".to_owned());
        });
        refused(&["no attribute `stage`", "ATTIO__PIPELINE__STAGE_ATTRIBUTE"]).await;
        for kind in ["text", "number"] {
            world.attio.change_list(LIST, |list| {
                *list = before.clone();
                list.attributes.iter_mut().for_each(|stage| stage.kind = kind.to_owned());
            });
            refused(&["neither a status nor a select", "ATTIO__PIPELINE__STAGE_ATTRIBUTE"]).await;
        }
        world.attio.change_list(LIST, |list| *list = before.clone());
        archive(&world, "Lost", true);
        refused(&["no stage `Lost`", "ATTIO__PIPELINE__STAGES", "not_interested"]).await;
        world.attio.change_list(LIST, |list| *list = before.clone());
        world.attio.faults().next("get_list", refusal(403, "unauthorized", "The token lacks a scope."));
        refused(&["list_configuration:read"]).await;
        world.connect().await;
        for operation in ["create_attribute", "create_option"] {
            assert_eq!(world.attio.journal().count(operation), 0, "the list is people's own");
        }
    }
}

scenario! {
    async fn a_select_does_as_well(setup: Setup) {
        let world = started(setup).await;
        world.attio.change_list(LIST, |list| list.attributes[0].kind = "select".to_owned());
        let app = world.connect().await;
        let ada = pending(&world, &app).await;
        world.call_back(&ada, "not_interested").await;
        is(&world, &app, &ada, "written").await;
        assert_eq!(stage(&world, &ada).as_deref(), Some("Lost"));
    }
}
