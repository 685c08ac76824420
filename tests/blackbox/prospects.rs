//! Operation `alcCallback`: a person whom ALC brings (`ATTIO__PROSPECTS=upsert`).

use std::time::Duration;

use alc_connector::{lifecycle::Lifecycle, store::Kind};
use sandbox::{Callback, Fault, Rule};
use serde_json::{Value, json};

use crate::support::{
    ambient::eventually,
    attio_app::AttioApp,
    harness::{HOUR, MINUTE, Person, Setup, World, scenario},
    secrets, stored,
};

const MOMENT: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);
const EMAIL: &str = "ada.lovelace@example.com";
const NAME: &str = "Ada Lovelace";

fn upserting(setup: Setup) -> Setup {
    secrets::learn(EMAIL);
    secrets::learn(NAME);
    setup.impatient().with("ATTIO__PROSPECTS", "upsert")
}

fn brought(result: &str) -> Callback {
    Callback::prospect("p-1", NAME, EMAIL).field("status", json!(result))
}

/// The people who have the address.
fn with_the_address(world: &World) -> Vec<String> {
    let people = world.attio.people().into_iter();
    people.filter(|record| world.attio.values(record, "email_addresses").contains(&EMAIL.to_owned())).collect()
}

/// The one person who has the address, once there is one.
async fn record_of(world: &World) -> String {
    let known = async || !with_the_address(world).is_empty();
    world.pass_until("the person is at Attio", MOMENT, MINUTE, known).await;
    let mut people = with_the_address(world);
    assert_eq!(people.len(), 1, "one person");
    people.remove(0)
}

fn is_shown(world: &World, record: &str, status: &str, result: Option<&str>) -> bool {
    world.attio.status(record).as_deref() == Some(status)
        && world.attio.value(record, "alc_result").as_deref() == result
}

async fn shows(world: &World, record: &str, status: &str, result: Option<&str>) {
    let shown = async || is_shown(world, record, status, result);
    world.pass_until("Attio shows it", MOMENT, MINUTE, shown).await;
}

/// Who has that record.
fn person(record: &str) -> Person {
    Person { record_id: record.to_owned(), name: NAME.to_owned(), phone: "+12015550123".to_owned() }
}

async fn lead(app: &AttioApp, record: &str) -> Value {
    app.lead(&person(record)).await.expect(200).json()
}

/// Nothing of a person is kept but leads. No replica runs afterwards.
async fn none_waits(world: &mut World) {
    world.stop().await;
    let lifecycle = Lifecycle::new();
    let store = stored::open(world, &lifecycle).await;
    let depths = store.depths(world.now()).await.expect("the store answers");
    let waiting: Vec<_> = depths.iter().filter(|depth| depth.kind == Kind::Prospect).collect();
    assert!(waiting.is_empty(), "{waiting:?}");
    lifecycle.stop();
    store.close().await;
}

scenario! {
    async fn a_person_who_is_new_to_attio_is_made_once_and_shown(setup: Setup) {
        let (world, app) = upserting(setup).connected().await;
        world.tell(brought("qualified"), 200).await;
        let record = record_of(&world).await;
        shows(&world, &record, "Complete", Some("qualified")).await;
        assert_eq!(world.attio.value(&record, "alc_lead_id").as_deref(), Some("p-1"));
        assert_eq!(world.attio.values(&record, "name"), [NAME]);
        let lead = lead(&app, &record).await;
        let said = ["status", "result", "lead_id"].map(|member| lead[member].clone());
        assert_eq!(said, ["complete", "qualified", "p-1"].map(Value::from));
        assert_eq!(world.attio.history(&record), ["Complete"]);
        assert_eq!(world.attio.journal().count("assert_record"), 1);
    }
}

scenario! {
    async fn a_person_whom_attio_has_keeps_their_name_and_addresses(setup: Setup) {
        let (world, _) = upserting(setup).connected().await;
        let record = world.attio.add_person_with_email("Augusta Ada King", EMAIL);
        world.tell(brought("qualified"), 200).await;
        shows(&world, &record, "Complete", Some("qualified")).await;
        assert_eq!(world.attio.values(&record, "name"), ["Augusta Ada King"]);
        assert_eq!(world.attio.values(&record, "email_addresses"), [EMAIL]);
        assert_eq!(world.attio.journal().count("assert_record"), 0);
    }
}

scenario! {
    async fn a_repeat_has_no_second_effect(setup: Setup) {
        let (world, _) = upserting(setup).connected().await;
        let callback = brought("qualified").message_id("msg_1");
        for _ in 0..3 {
            world.tell(callback.clone(), 200).await;
        }
        let record = record_of(&world).await;
        shows(&world, &record, "Complete", Some("qualified")).await;
        world.pass_slowly(MINUTE, 2).await;
        let patches = world.attio.journal().count("patch_record");
        world.tell(callback, 200).await;
        world.tell(brought("qualified"), 200).await;
        world.pass_slowly(MINUTE, 2).await;
        assert_eq!(world.attio.journal().count("patch_record"), patches);
        assert_eq!(world.attio.journal().count("assert_record"), 1);
        assert_eq!(world.attio.history(&record), ["Complete"]);
    }
}

scenario! {
    async fn what_comes_later_replaces_what_is_not_shown_yet(setup: Setup) {
        let (world, _) = upserting(setup).connected().await;
        world.attio.faults().always("query_records", Fault::status(503));
        for result in ["unreachable", "qualified"] {
            world.tell(brought(result), 200).await;
        }
        world.tell(Callback::prospect("p-1", NAME, &EMAIL.to_uppercase()), 200).await;
        world.attio.faults().clear("query_records");
        let made = async || world.attio.journal().count("assert_record") > 0;
        world.pass_until("the person is made", MINUTE, HOUR, made).await;
        let record = record_of(&world).await;
        shows(&world, &record, "Complete", Some("qualified")).await;
        // Shown, the first result stays, as with every lead.
        world.tell(brought("lost interest"), 200).await;
        world.pass_slowly(MINUTE, 2).await;
        shows(&world, &record, "Complete", Some("qualified")).await;
        assert_eq!(world.attio.history(&record), ["Complete"]);
    }
}

scenario! {
    async fn a_result_after_a_word_without_one_is_shown(setup: Setup) {
        let (world, app) = upserting(setup).connected().await;
        world.tell(Callback::prospect("p-1", NAME, EMAIL), 200).await;
        let record = record_of(&world).await;
        shows(&world, &record, "Complete", None).await;
        world.tell(Callback::of_email(EMAIL, "qualified"), 200).await;
        shows(&world, &record, "Complete", Some("qualified")).await;
        assert_eq!(lead(&app, &record).await["lead_id"], "p-1");
    }
}

scenario! {
    async fn a_result_without_a_record_but_with_an_address(setup: Setup) {
        let (world, _) = upserting(setup).connected().await;
        world.tell(Callback::of_email(EMAIL, "processing"), 200).await;
        world.pass_slowly(MINUTE, 1).await;
        assert!(world.attio.people().is_empty(), "unfinished");
        world.tell(Callback::of_email(EMAIL, "qualified"), 200).await;
        let record = record_of(&world).await;
        shows(&world, &record, "Complete", Some("qualified")).await;
        assert!(world.attio.values(&record, "name").is_empty());
    }
}

scenario! {
    async fn a_live_send_ends_only_by_its_own_id(setup: Setup) {
        let (world, app) = upserting(setup).connected().await;
        let ada = person(&world.attio.add_person_with_email(NAME, EMAIL));
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.tell(brought("a stranger's"), 200).await;
        let asked = async || world.attio.journal().count("query_records") > 0;
        world.pass_until("Attio is asked", SECOND, MINUTE, asked).await;
        world.pass_slowly(MINUTE, 1).await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
        assert_eq!(world.attio.history(&ada.record_id), ["Pending"]);
        let own = world.alc.leads_of(&ada.record_id)[0].id.clone();
        world.tell(Callback::prospect(&own, NAME, EMAIL).field("status", json!("qualified")), 200).await;
        shows(&world, &ada.record_id, "Complete", Some("qualified")).await;
    }
}

scenario! {
    async fn a_live_send_whose_id_alc_never_gave_asks_alc(setup: Setup) {
        let (world, app) = upserting(setup).alc(|alc| alc.lead_ids = false).connected().await;
        let ada = person(&world.attio.add_person_with_email(NAME, EMAIL));
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.alc.finish_silently(&ada.record_id, "qualified");
        world.tell(Callback::of_email(EMAIL, "not what ALC has"), 200).await;
        shows(&world, &ada.record_id, "Complete", Some("qualified")).await;
        assert_eq!(world.attio.history(&ada.record_id), ["Pending", "Complete"]);
    }
}

scenario! {
    async fn what_alc_says_besides_is_in_the_note_and_nowhere_else(setup: Setup) {
        let (mut world, app) = upserting(setup).with("ATTIO__NOTE", "on-result").connected().await;
        let said = "call me on Mondays, after nine";
        secrets::learn(said);
        // Until Attio takes the person, it lies here.
        world.attio.faults().next("query_records", Fault::status(503));
        world.tell(brought("qualified").field("summary", json!(said)), 200).await;
        let record = record_of(&world).await;
        let written = async || lead(&app, &record).await["note"]["state"] == "written";
        shows(&world, &record, "Complete", Some("qualified")).await;
        world.pass_until("the note is written", SECOND, MINUTE * 10, written).await;
        let notes = world.attio.notes(&record);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].content.contains(said), "{}", notes[0].content);
        none_waits(&mut world).await;
        assert!(!String::from_utf8_lossy(&world.stored()).contains(said), "nowhere on the disk");
    }
}

scenario! {
    async fn attio_in_trouble_is_asked_until_it_takes_the_person(setup: Setup) {
        let faults = [
            Fault::status(500),
            Fault::status(503),
            Fault::status_with(429, ("retry-after", "60"), json!({ "status_code": 429 })),
            Fault::Reset,
            Fault::done_but_500(),
        ];
        let (mut world, _) = upserting(setup).connected().await;
        for (n, fault) in faults.into_iter().enumerate() {
            world.attio.faults().next("assert_record", fault);
            let email = format!("ada.{n}@example.com");
            secrets::learn(&email);
            world.tell(Callback::prospect("p", NAME, &email).field("status", json!("qualified")), 200).await;
            let shown = async || {
                let people = world.attio.people();
                let of = |record: &&String| world.attio.values(record, "email_addresses").contains(&email);
                let found: Vec<_> = people.iter().filter(of).collect();
                assert!(found.len() < 2, "one person");
                found.first().is_some_and(|record| world.attio.status(record).as_deref() == Some("Complete"))
            };
            world.pass_until("the person is shown", SECOND * 10, HOUR, shown).await;
        }
        none_waits(&mut world).await;
    }
}

scenario! {
    async fn a_name_that_attio_refuses_is_left_out(setup: Setup) {
        let (world, _) = upserting(setup).connected().await;
        // Each time: the first refusal may come too late on a busy machine.
        let fault = Fault::status(400);
        let (operation, contains) = ("assert_record".to_owned(), Some("full_name".to_owned()));
        world.attio.faults().add(Rule { operation, fault, times: None, contains });
        world.tell(brought("qualified"), 200).await;
        let made = async || world.attio.people().len() == 1;
        world.pass_until("the person is made", SECOND, MINUTE, made).await;
        let record = record_of(&world).await;
        shows(&world, &record, "Complete", Some("qualified")).await;
        assert!(world.attio.values(&record, "name").is_empty());
    }
}

scenario! {
    async fn a_person_whom_attio_never_takes_is_forgotten_in_the_end(setup: Setup) {
        let (mut world, _) = upserting(setup).with("LEADS__RETENTION", "3d").connected().await;
        world.attio.faults().always("query_records", Fault::status(400));
        world.tell(brought("qualified"), 200).await;
        let asked = async || world.attio.journal().count("query_records") > 0;
        world.pass_until("Attio is asked", SECOND, MINUTE, asked).await;
        world.pass_slowly(HOUR * 6, 20).await;
        world.pass_slowly(MINUTE, 5).await;
        none_waits(&mut world).await;
        assert!(world.attio.people().is_empty());
    }
}

scenario! {
    async fn a_workspace_that_leaves_takes_its_people_along(setup: Setup) {
        let (mut world, app) = upserting(setup).connected().await;
        world.attio.faults().always("query_records", Fault::status(503));
        world.tell(brought("qualified"), 200).await;
        // What is under way at the removal may still arrive.
        world.attio.journal().wait_answered("query_records", 1).await;
        app.connection_removed().await.expect(202);
        world.attio.faults().clear("query_records");
        world.pass_slowly(HOUR, 25).await;
        assert!(world.attio.people().is_empty(), "nobody is made after the removal");
        none_waits(&mut world).await;
    }
}

scenario! {
    async fn off_it_is_another_event(setup: Setup) {
        let (mut world, _) = setup.connected().await;
        secrets::learn(EMAIL);
        world.tell(brought("qualified"), 200).await;
        world.tell(Callback::prospect("p-1", NAME, "nobody"), 200).await;
        world.tell(Callback::of_email(EMAIL, "qualified"), 400).await;
        world.pass_slowly(MINUTE, 1).await;
        assert!(world.attio.people().is_empty());
        none_waits(&mut world).await;
    }
}

scenario! {
    async fn an_address_that_is_none_is_refused_without_being_quoted(setup: Setup) {
        let (world, _) = upserting(setup).connected().await;
        let answer = world.tell(Callback::prospect("p-1", NAME, "ada.lovelace at example"), 400).await;
        assert!(answer.body.contains("/prospectEmail") && !answer.body.contains("lovelace"), "{}", answer.body);
    }
}

scenario! {
    async fn a_process_that_dies_before_attio_is_asked_loses_nobody(setup: Setup) {
        let mut world = upserting(setup).start().await;
        let mut process = world.in_a_process().await;
        world.connect().await;
        world.attio.faults().always("query_records", Fault::late(300));
        world.attio.faults().always("assert_record", Fault::late(300));
        world.tell(brought("qualified"), 200).await;
        process.kill();
        assert!(world.attio.people().is_empty(), "killed before");
        process.start().await;
        let shown = async || {
            let people = with_the_address(&world);
            people.first().is_some_and(|record| is_shown(&world, record, "Complete", Some("qualified"))).then_some(())
        };
        eventually("Attio shows it", shown).await;
        assert_eq!(world.attio.people().len(), 1);
    }
}
