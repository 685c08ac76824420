//! `ATTIO__NOTE`: each result is told in one note on the record, whatever goes wrong on the way.

use std::time::Duration;

use alc_connector::{
    lifecycle::Lifecycle,
    store::{Key, Kind, Tenant},
};
use sandbox::{Callback, Fault, Stage, attio::refusal};
use serde_json::{Value, json};

use crate::support::{
    ambient::eventually_within,
    attio_app::AttioApp,
    harness::{DAY, HOUR, MINUTE, Person, Setup, World, run, scenario},
    stored::open,
};

/// What a person said; nobody may find it in the store once it is written.
const SAID: &str = "call me on Mondays, after nine";

fn on(setup: Setup) -> Setup {
    setup.with("ATTIO__NOTE", "on-result")
}

fn result(person: &Person, word: &str) -> Callback {
    let transcript = json!([{ "speaker": "Ada", "text": SAID }, "alc-connector: nobody"]);
    Callback::new(&person.record_id, word)
        .field("summary", json!("She is *interested*."))
        .field("transcript", transcript)
}

async fn pending(world: &World, app: &AttioApp) -> Person {
    let person = world.person();
    app.press(&person).await.expect(201);
    world.shows(&person, "Pending").await;
    person
}

async fn state(app: &AttioApp, person: &Person) -> Value {
    app.lead(person).await.json()["note"]["state"].clone()
}

/// Waits until the note's state is this, a minute at a time.
async fn is(world: &World, app: &AttioApp, person: &Person, wanted: &str) {
    is_by(world, app, person, wanted, MINUTE).await;
}

/// As [`is`], for what takes its time.
async fn is_by(world: &World, app: &AttioApp, person: &Person, wanted: &str, step: Duration) {
    let is_so = async || state(app, person).await == wanted;
    world.pass_until(&format!("the note is {wanted}"), step, step * 20, is_so).await;
}

/// Waits until so many attempts have come in at Attio.
async fn tried(world: &World, times: usize) {
    let tried = async || world.attio.journal().count("create_note") == times;
    world.pass_until("an attempt", Duration::from_millis(50), MINUTE, tried).await;
}

scenario! {
    async fn a_result_is_told_in_one_note(setup: Setup) {
        let (world, app) = on(setup).connected().await;
        let ada = pending(&world, &app).await;
        world.tell(result(&ada, "not_interested"), 200).await;
        is(&world, &app, &ada, "written").await;
        assert_eq!(world.attio.status(&ada.record_id).as_deref(), Some("Complete"));
        let notes = world.attio.notes(&ada.record_id);
        assert_eq!((notes.len(), notes[0].title.as_str()), (1, "ALC: not_interested"));
        let content = &notes[0].content;
        assert!(content.contains("not\\_interested") && content.contains("She is \\*interested\\*."), "{content}");
        let (plain, lead_id) = (content.replace('\\', ""), app.lead_says(&ada, "lead_id").await);
        for part in [lead_id.as_str().expect("an id"), "2026-11-20 12:0", "ALC said: alc-connector: nobody"] {
            assert!(plain.contains(part), "{part}: {content}");
        }
        assert!(content.contains(SAID) && content.contains("\n\nalc-connector: "), "{content}");
        assert_eq!(app.lead(&ada).await.json()["note"], json!({ "state": "written", "last_error": null }));

        // What ALC tells again or anew is no second note; the next send's result is.
        world.tell(result(&ada, "not_interested"), 200).await;
        world.tell(result(&ada, "qualified"), 200).await;
        world.pass_slowly(MINUTE * 5, 4).await;
        assert_eq!(world.attio.notes(&ada.record_id).len(), 1);
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.tell(result(&ada, "qualified"), 200).await;
        is(&world, &app, &ada, "written").await;
        let titles: Vec<_> = world.attio.notes(&ada.record_id).into_iter().map(|note| note.title).collect();
        assert_eq!(titles, ["ALC: not_interested", "ALC: qualified"]);
    }
}

scenario! {
    async fn without_the_setting_nothing_is_asked_of_notes(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = pending(&world, &app).await;
        world.tell(result(&ada, "qualified"), 200).await;
        world.shows(&ada, "Complete").await;
        world.pass_slowly(MINUTE * 5, 4).await;
        for operation in ["create_note", "list_notes", "get_list", "assert_entry"] {
            assert_eq!(world.attio.journal().count(operation), 0, "{operation}");
        }
        let lead = app.lead(&ada).await.json();
        assert!(lead.get("note").is_none() && lead.get("pipeline").is_none(), "{lead}");
    }
}

scenario! {
    async fn an_answer_that_was_lost_makes_no_second_note(setup: Setup) {
        let (world, app) = on(setup).connected().await;
        let ada = pending(&world, &app).await;
        // Others have written so many that ours is not on the first page.
        world.attio.faults().next("create_note", Fault::done_but_500());
        world.tell(result(&ada, "qualified"), 200).await;
        tried(&world, 1).await;
        for number in 0..60 {
            world.attio.add_note(&ada.record_id, "mine", &format!("{number}"));
        }
        is(&world, &app, &ada, "written").await;
        assert_eq!(world.attio.journal().count("create_note"), 1);
        assert!(world.attio.journal().count("list_notes") >= 2, "page after page");
        world.pass_slowly(MINUTE * 5, 4).await;
        assert_eq!(world.attio.notes(&ada.record_id).len(), 61);
    }
}

scenario! {
    async fn an_attempt_that_came_to_nothing_is_made_again_when_it_cannot_arrive_any_more(setup: Setup) {
        let (world, app) = on(setup).connected().await;
        let ada = pending(&world, &app).await;
        world.attio.faults().next("create_note", Fault::status(502));
        world.tell(result(&ada, "qualified"), 200).await;
        tried(&world, 1).await;
        world.pass_slowly(MINUTE * 3, 4).await;
        assert_eq!(world.attio.journal().count("create_note"), 1, "it may arrive yet");
        is(&world, &app, &ada, "written").await;
        assert_eq!(world.attio.notes(&ada.record_id).len(), 1);
    }
}

scenario! {
    async fn a_refusal_names_the_scope_and_is_tried_again_slowly(setup: Setup) {
        let (world, app) = on(setup).connected().await;
        let ada = pending(&world, &app).await;
        world.attio.faults().always("create_note", refusal(403, "unauthorized", "The token lacks a scope."));
        world.tell(result(&ada, "qualified"), 200).await;
        is(&world, &app, &ada, "failed").await;
        let lead = app.lead(&ada).await.json();
        assert!(lead["note"]["last_error"].as_str().is_some_and(|error| error.contains("note:read-write")), "{lead}");
        assert_eq!((&lead["attio"], &lead["last_error"]), (&json!("synced"), &Value::Null), "the record is shown");
        assert!(world.attio.journal().count("create_note") <= 2, "slowly");
        world.attio.faults().clear("create_note");
        is_by(&world, &app, &ada, "written", HOUR / 2).await;
        assert_eq!(world.attio.notes(&ada.record_id).len(), 1);
    }
}

scenario! {
    async fn a_full_limit_puts_a_note_off(setup: Setup) {
        let (world, app) = on(setup).connected().await;
        let ada = pending(&world, &app).await;
        world.attio.faults().next("create_note", refusal(429, "rate_limit_exceeded", "Slowly."));
        world.tell(result(&ada, "qualified"), 200).await;
        is(&world, &app, &ada, "written").await;
        assert_eq!(world.attio.journal().count("create_note"), 2);
        assert_eq!(world.attio.journal().count("list_notes"), 0, "it certainly was not taken");
    }
}

scenario! {
    async fn a_record_that_is_gone_gets_no_note(setup: Setup) {
        let (world, app) = on(setup).connected().await;
        let ada = pending(&world, &app).await;
        let hold = world.attio.faults().hold("create_note", Stage::Before);
        world.tell(result(&ada, "qualified"), 200).await;
        tried(&world, 1).await;
        world.attio.delete_person(&ada.record_id);
        hold.release();
        is(&world, &app, &ada, "failed").await;
        world.pass_slowly(HOUR, 4).await;
        assert_eq!(world.attio.journal().count("create_note"), 1);
    }
}

scenario! {
    async fn what_is_never_taken_is_given_up_with_the_lead(setup: Setup) {
        let (world, app) = on(setup).with("LEADS__RETENTION", "2d").connected().await;
        let ada = pending(&world, &app).await;
        world.attio.faults().always("create_note", refusal(403, "unauthorized", "The token lacks a scope."));
        world.tell(result(&ada, "qualified"), 200).await;
        is(&world, &app, &ada, "failed").await;
        let forgotten = async || app.lead(&ada).await.status == 404;
        world.pass_until("it is forgotten", HOUR * 6, DAY * 3, forgotten).await;
    }
}

scenario! {
    async fn a_note_waits_for_the_record_and_goes_where_a_merge_has_put_it(setup: Setup) {
        let (world, app) = told_of_merges(setup).await;
        let (ada, twin) = (pending(&world, &app).await, world.person());
        world.attio.faults().always("patch_record", refusal(403, "billing_error", "Pay."));
        world.tell(result(&ada, "qualified"), 200).await;
        world.pass_slowly(MINUTE, 5).await;
        assert_eq!(world.attio.journal().count("create_note"), 0, "the record comes first");
        world.attio.faults().clear("patch_record");
        let made = world.attio.merge(&ada.record_id, &twin.record_id).await;
        let written = async || world.attio.notes(&made).len() == 1;
        world.pass_until("the note is on the merged record", MINUTE, MINUTE * 10, written).await;
        assert_eq!(world.attio.notes(&ada.record_id).len(), 0);
    }
}

/// Connected, with a webhook by which Attio tells of merges.
async fn told_of_merges(setup: Setup) -> (World, AttioApp) {
    let world = on(setup).start().await;
    world.attio.configure(|attio| attio.https_webhooks_only = false);
    let app = world.connect().await;
    (world, app)
}

scenario! {
    async fn a_merge_that_is_told_late_leaves_the_note_what_alc_said(setup: Setup) {
        let (mut world, app) = told_of_merges(setup).await;
        let (ada, twin) = (pending(&world, &app).await, world.person());
        let (eve, late) = (pending(&world, &app).await, world.person());
        for (one, other) in [(&ada, &twin), (&eve, &late)] {
            let made = world.attio.merge_silently(&one.record_id, &other.record_id);
            // The merge takes the record away, which Attio tells first.
            world.attio.deliver(vec![world.attio.event("record.deleted", &one.record_id)]).await;
            world.tell(result(one, "qualified"), 200).await;
            if one.record_id == eve.record_id {
                world.pass_slowly(MINUTE, 16).await;
                let kept = document(&mut world, &eve).await;
                assert!(!kept.contains("\"words\":"), "nothing is kept for a person who is gone: {kept}");
            }
            world.attio.deliver(vec![world.attio.merged_event(&made, &one.record_id)]).await;
            let written = async || world.attio.notes(&made).len() == 1;
            world.pass_until("the note is on the merged record", MINUTE, MINUTE * 10, written).await;
            let content = &world.attio.notes(&made)[0].content;
            assert_eq!(content.contains(SAID), one.record_id == ada.record_id, "{content}");
        }
    }
}

/// A person's lead as the store has it; the replicas start anew.
async fn document(world: &mut World, person: &Person) -> String {
    let replicas = world.replicas().len();
    world.stop().await;
    let lifecycle = Lifecycle::new();
    let store = open(world, &lifecycle).await;
    let (tenant, key) = (Tenant::new(world.attio.workspace_id()), Key::new(Kind::Lead, &person.record_id));
    let found = store.load(&tenant, &[key], &[], world.now()).await.expect("the store answers");
    lifecycle.stop();
    store.close().await;
    for _ in 0..replicas {
        world.start_replica().await;
    }
    found.documents[0].as_ref().expect("a lead").body.clone()
}

scenario! {
    async fn what_was_said_is_sealed_until_it_is_written_and_then_erased(setup: Setup) {
        let (mut world, app) = on(setup).connected().await;
        let ada = pending(&world, &app).await;
        world.attio.faults().always("create_note", refusal(403, "unauthorized", "The token lacks a scope."));
        world.tell(result(&ada, "qualified"), 200).await;
        is(&world, &app, &ada, "failed").await;
        let kept = document(&mut world, &ada).await;
        assert!(kept.contains("\"words\":\"") && !kept.contains(SAID), "sealed: {kept}");
        world.attio.faults().clear("create_note");
        is_by(&world, &app, &ada, "written", HOUR / 2).await;
        assert!(world.attio.notes(&ada.record_id)[0].content.contains(SAID));
        let kept = document(&mut world, &ada).await;
        assert!(kept.contains("\"ended\":\"written\"") && !kept.contains("words"), "erased: {kept}");
        assert!(!String::from_utf8_lossy(&world.stored()).contains(SAID), "nowhere on the disk");
        let lead = app.lead(&ada).await.json().to_string();
        assert!(!lead.contains(SAID));
    }
}

#[test]
fn a_worker_that_is_killed_before_it_heard_the_answer_leaves_one_note_on_sqlite() {
    run(killed(Setup::sqlite(), Stage::After));
}

#[test]
fn a_worker_that_is_killed_before_it_heard_the_answer_leaves_one_note_on_redis() {
    run(killed(Setup::redis(), Stage::After));
}

async fn killed(setup: Setup, stage: Stage) {
    let setup = on(setup).with("ALC__TIMEOUT", "1s").with("ATTIO__TIMEOUT", "1s");
    let mut world = setup.start().await;
    let mut process = world.in_a_process().await;
    let app = world.connect().await;
    let ada = world.person();
    app.press(&ada).await.expect(201);
    let hold = world.attio.faults().hold("create_note", stage);
    world.tell(result(&ada, "qualified"), 200).await;
    hold.reached(1).await;
    process.kill();
    hold.release();
    process.start().await;
    eventually_within(MINUTE, "the note is found", async || (state(&app, &ada).await == "written").then_some(())).await;
    assert_eq!(world.attio.notes(&ada.record_id).len(), 1);
    assert_eq!(world.attio.journal().count("create_note"), 1);
    assert_eq!(process.terminate().await, Some(0));
}
