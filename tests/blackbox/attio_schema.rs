//! Operation `connectionAdded`: it sees to the attributes that we write in Attio.

use std::time::Duration;

use sandbox::{
    Fault, Stage,
    attio::{Attribute, refusal},
};

use serde_json::Value;

use crate::support::{
    ambient::spawn,
    harness::{MINUTE, Person, Setup, World, scenario},
};

/// What a person did to an attribute.
type Change = fn(&mut Attribute);

fn attribute(world: &World, slug: &str) -> Option<Attribute> {
    world.attio.attributes().into_iter().find(|attribute| attribute.api_slug == slug)
}

fn options(world: &World, slug: &str) -> Vec<String> {
    let options = attribute(world, slug).expect("an attribute").options;
    options.into_iter().filter(|option| !option.is_archived).map(|option| option.title).collect()
}

/// Waits until the attribute `lead_state` shows this.
async fn shows(world: &World, person: &Person, title: &str) {
    let shown = async || world.attio.value(&person.record_id, "lead_state").as_deref() == Some(title);
    world.pass_until("it is shown", Duration::from_millis(50), MINUTE, shown).await;
}

/// Connects in vain; what the problem says.
async fn refused(world: &World) -> String {
    let app = world.authorize().await;
    let problem = app.connection_added().await.expect_problem(422, "connect-refused").json();
    assert_eq!(world.alc.journal().count("create_webhook"), 0, "what Attio lacks is found out before ALC is asked");
    problem["detail"].as_str().expect("a detail").to_owned()
}

scenario! {
    async fn what_is_missing_is_made_and_a_lead_lives_on_it(setup: Setup) {
        let world = setup.start().await;
        world.attio.remove_alc_attributes();
        let app = world.connect().await;
        let status = attribute(&world, "alc_status").expect("made");
        assert_eq!((status.kind.as_str(), status.is_multiselect), ("select", false));
        assert_eq!(options(&world, "alc_status"), ["Pending", "Complete", "Failed"]);
        assert_eq!(attribute(&world, "alc_lead_id").expect("made").kind, "text");
        assert_eq!(attribute(&world, "alc_result").expect("made").kind, "text");

        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some("qualified"));
    }
}

scenario! {
    async fn slugs_and_titles_are_the_configured_ones_and_empty_ones_are_not_made(setup: Setup) {
        let world = setup
            .with("ATTIO__ATTRIBUTES__STATUS", "lead_state")
            .with("ATTIO__ATTRIBUTES__LEAD_ID", "")
            .with("ATTIO__ATTRIBUTES__RESULT", "")
            .with("ATTIO__TITLES__PENDING", "Being called")
            .with("ATTIO__TITLES__COMPLETE", "Done / called")
            .start()
            .await;
        world.attio.remove_alc_attributes();
        let app = world.connect().await;
        assert_eq!(options(&world, "lead_state"), ["Being called", "Done / called", "Failed"]);
        assert_eq!(world.attio.journal().count("create_attribute"), 1);
        let ada = world.person();
        app.press(&ada).await.expect(201);
        shows(&world, &ada, "Being called").await;
        world.call_back(&ada, "qualified").await;
        shows(&world, &ada, "Done / called").await;
        let patches = world.attio.journal().requests("patch_record");
        for patch in &patches {
            let body: Value = serde_json::from_str(&patch.body).expect("JSON");
            let slugs: Vec<_> = body["data"]["values"].as_object().expect("values").keys().collect();
            assert_eq!(slugs, ["lead_state"], "what has no attribute is not written");
        }
    }
}

scenario! {
    async fn what_is_there_is_taken_as_it_is(setup: Setup) {
        let world = setup.start().await;
        world.connect().await;
        world.attio.set_attribute("alc_status", "text", |status| status.options.clear());
        // No two people share a lead.
        world.attio.set_attribute("alc_lead_id", "text", |lead_id| lead_id.is_unique = true);
        world.connect().await;
        for operation in ["create_attribute", "create_option", "update_option"] {
            assert_eq!(world.attio.journal().count(operation), 0, "{operation}");
        }
    }
}

scenario! {
    async fn missing_options_are_added_and_archived_ones_come_back(setup: Setup) {
        let world = setup.start().await;
        world.attio.set_attribute("alc_status", "select", |status| {
            status.options.retain(|option| option.title != "Failed");
            status.options[0].is_archived = true;
        });
        world.connect().await;
        assert_eq!(options(&world, "alc_status"), ["Pending", "Complete", "Failed"]);
        assert_eq!(world.attio.journal().count("create_option"), 1, "an archived one is not made a second time");
    }
}

scenario! {
    async fn what_cannot_be_written_is_refused_by_name_and_with_what_to_do(setup: Setup) {
        let world = setup.start().await;
        let changes: [(&str, &str, Change, &str); 8] = [
            ("alc_status", "number", |_| {}, "number"),
            ("alc_status", "select", |attribute| attribute.is_multiselect = true, "several"),
            ("alc_status", "text", |attribute| attribute.is_archived = true, "archived"),
            ("alc_lead_id", "select", |_| {}, "select"),
            ("alc_result", "text", |attribute| attribute.is_archived = true, "archived"),
            ("alc_result", "text", |attribute| attribute.is_multiselect = true, "several"),
            ("alc_status", "text", |attribute| attribute.is_unique = true, "unique"),
            ("alc_result", "text", |attribute| attribute.is_unique = true, "unique"),
        ];
        for (slug, kind, change, says) in changes {
            let before = attribute(&world, slug).expect("a preset");
            world.attio.set_attribute(slug, kind, change);
            let detail = refused(&world).await;
            for word in [slug, says, "ATTIO__ATTRIBUTES__", "connect again"] {
                assert!(detail.contains(word), "{word}: {detail}");
            }
            let kind = before.kind.clone();
            world.attio.set_attribute(slug, &kind, |attribute| *attribute = before);
        }
        world.connect().await;
    }
}

scenario! {
    async fn a_missing_scope_is_named(setup: Setup) {
        let world = setup.start().await;
        let forbidden = || refusal(403, "unauthorized", "The token does not have the required scope.");
        world.attio.faults().next("list_attributes", forbidden());
        assert!(refused(&world).await.contains("object_configuration:read-write"));
        world.attio.remove_alc_attributes();
        world.attio.faults().next("create_attribute", forbidden());
        assert!(refused(&world).await.contains("object_configuration:read-write"));
    }
}

scenario! {
    async fn two_who_connect_at_once_do_not_fight(setup: Setup) {
        let world = setup.start().await;
        world.attio.remove_alc_attributes();
        let (one, two) = (world.authorize().await, world.authorize().await);
        // Both have seen that there is nothing before either makes anything.
        let hold = world.attio.faults().hold("list_attributes", Stage::After);
        let first = spawn(async move { one.connection_added().await });
        let second = spawn(async move { two.connection_added().await });
        hold.reached(2).await;
        hold.release();
        first.await.expect("an answer").expect(201);
        second.await.expect("an answer").expect(201);
        assert_eq!(options(&world, "alc_status"), ["Pending", "Complete", "Failed"]);
        let conflicts = world.attio.journal().requests("create_attribute");
        assert!(conflicts.iter().any(|seen| seen.status == Some(409)), "they met");
    }
}

scenario! {
    async fn an_answer_that_was_lost_makes_nothing_twice(setup: Setup) {
        let world = setup.impatient().start().await;
        world.attio.remove_alc_attributes();
        world.attio.faults().next("create_attribute", Fault::done_but_500());
        world.attio.faults().next("create_option", Fault::done_but_500());
        world.connect().await;
        assert_eq!(options(&world, "alc_status"), ["Pending", "Complete", "Failed"]);
        let ours = world.attio.attributes().into_iter().filter(|attribute| attribute.api_slug.starts_with("alc_"));
        assert_eq!(ours.count(), 3);
    }
}

scenario! {
    async fn an_attio_that_is_away_fails_the_connect_for_now(setup: Setup) {
        let world = setup.impatient().start().await;
        let app = world.authorize().await;
        world.attio.faults().always("list_attributes", Fault::status(500));
        app.connection_added().await.expect_problem(502, "upstream-failed");
        world.attio.faults().clear("list_attributes");
        app.connection_added().await.expect(201);
    }
}
