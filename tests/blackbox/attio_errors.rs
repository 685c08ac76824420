//! Attio's errors by its table, and what Attio is shown in spite of them.

use sandbox::{Attio, Fault};
use serde_json::{Value, json};

use crate::support::{
    ambient::eventually,
    attio_app::AttioApp,
    harness::{DAY, HOUR, MINUTE, Person, Setup, World, scenario},
};

fn error(status: u16, kind: &str, code: &str) -> Fault {
    let body = json!({ "status_code": status, "type": kind, "code": code, "message": "words of Attio" });
    Fault::status_with(status, ("content-type", "application/json"), body)
}

async fn shows(world: &World, person: &Person, status: &str) {
    let shown = async || world.attio.status(&person.record_id).as_deref() == Some(status);
    world.pass_until(&format!("Attio shows {status}"), MINUTE, HOUR * 4, shown).await;
}

async fn is_told(app: &AttioApp, person: &Person, attio: &str) -> Value {
    eventually("the lead tells of it", async || {
        let lead = app.lead(person).await.json();
        (lead["attio"] == attio).then_some(lead)
    })
    .await
}

scenario! {
    async fn a_403_is_kept_shown_and_tried_again_slowly(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.attio.faults().always("patch_record", error(403, "auth_error", "billing_error"));
        app.press(&ada).await.expect(201);
        let lead = is_told(&app, &ada, "failed").await;
        let said = lead["last_error"].as_str().unwrap_or_default();
        assert!(said.starts_with("Attio: forbidden") && said.contains("scopes"), "what a person can do: {lead}");
        world.call_back(&ada, "qualified").await;
        world.attio.faults().clear("patch_record");
        let shown = async || world.attio.status(&ada.record_id).as_deref() == Some("Complete");
        world.pass_until("Attio shows it once somebody acted", HOUR, DAY * 2, shown).await;
        is_told(&app, &ada, "synced").await;
    }
}

scenario! {
    async fn a_revoked_api_key_is_as_a_403_and_sends_go_on(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        for operation in ["patch_record", "self"] {
            world.attio.faults().always(operation, error(401, "auth_error", "unauthorized"));
        }
        app.press(&ada).await.expect(201);
        let lead = is_told(&app, &ada, "failed").await;
        assert_eq!(lead["status"], "pending", "{lead}");
        for operation in ["patch_record", "self"] {
            world.attio.faults().clear(operation);
        }
        let shown = async || world.attio.status(&ada.record_id).as_deref() == Some("Pending");
        world.pass_until("Attio shows it once somebody acted", HOUR, DAY * 2, shown).await;
    }
}

scenario! {
    async fn a_404_is_the_end_of_patching_and_not_of_the_lead(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.attio.delete_person(&ada.record_id);
        app.press(&ada).await.expect(201);
        is_told(&app, &ada, "failed").await;
        world.call_back(&ada, "qualified").await;
        world.pass_slowly(HOUR, 4).await;
        assert_eq!(app.lead_says(&ada, "status").await, "complete");
        assert_eq!(world.attio.journal().count("patch_record"), 1);
    }
}

scenario! {
    async fn a_concurrent_write_is_tried_again(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.attio.faults().times("patch_record", 2, error(409, "invalid_request_error", "concurrent_write_conflict"));
        app.press(&ada).await.expect(201);
        shows(&world, &ada, "Pending").await;
        assert_eq!(world.attio.journal().count("patch_record"), 3);
    }
}

scenario! {
    async fn a_merge_in_progress_is_waited_for(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.attio.faults().next("patch_record", error(400, "invalid_request_error", "merge_in_progress"));
        app.press(&ada).await.expect(201);
        shows(&world, &ada, "Pending").await;
    }
}

scenario! {
    async fn a_429_that_names_a_date_is_kept_by_all(setup: Setup) {
        let (world, app) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        let at = world.now() + jiff::SignedDuration::from_mins(10);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).expect("a date");
        let body = json!({ "status_code": 429, "type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "" });
        world.attio.faults().next("patch_record", Fault::status_with(429, ("retry-after", &date), body));
        app.press(&ada).await.expect(201);
        world.attio.journal().wait_answered("patch_record", 1).await;
        eventually("the answer was taken", async || {
            (!app.lead_says(&ada, "last_error").await.is_null()).then_some(())
        })
        .await;
        app.press(&bob).await.expect(201);
        world.pass_slowly(MINUTE, 9).await;
        assert_eq!(world.attio.journal().count("patch_record"), 1, "not before the date, for no record");
        shows(&world, &ada, "Pending").await;
        shows(&world, &bob, "Pending").await;
    }
}

scenario! {
    async fn a_5xx_or_no_answer_is_tried_again(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        // As a proxy answers for an Attio that it has not asked.
        let page = Fault::Status { status: 200, headers: Vec::new(), body: "<!doctype html><title>Log in".into() };
        let silences = [Fault::Refuse, Fault::Reset, Fault::Hang];
        for fault in [Fault::status(500), Fault::status(503), Fault::Garbage, page].into_iter().chain(silences) {
            let ada = world.person();
            world.attio.faults().next("patch_record", fault);
            app.press(&ada).await.expect(201);
            shows(&world, &ada, "Pending").await;
            world.call_back(&ada, "qualified").await;
            shows(&world, &ada, "Complete").await;
        }
    }
}

scenario! {
    async fn a_refused_result_leaves_the_status_alone_shown(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.attio.set_attribute("alc_result", "select", |_| {});
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "a word that is no option").await;
        shows(&world, &ada, "Complete").await;
        assert_eq!(world.attio.value(&ada.record_id, "alc_result"), None);
        let lead = app.lead(&ada).await.json();
        assert_eq!(lead["result"], "a word that is no option");
        eventually("the refusal is kept on the lead", async || {
            app.lead_says(&ada, "last_error").await.is_string().then_some(())
        })
        .await;
    }
}

/// A pending lead whose PATCH was never answered, then complete in Attio.
async fn complete_after_a_lost_patch(world: &World, app: &AttioApp) -> Person {
    let ada = world.person();
    world.attio.faults().next("patch_record", Fault::Reset);
    app.press(&ada).await.expect(201);
    world.call_back(&ada, "qualified").await;
    world.shows(&ada, "Complete").await;
    world.synced(app, &ada).await;
    ada
}

fn late_pending(attio: &Attio, person: &Person) {
    attio.edit(&person.record_id, "alc_status", "Pending");
}

scenario! {
    async fn a_pending_that_attio_applied_late_is_mended(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = complete_after_a_lost_patch(&world, &app).await;
        late_pending(&world.attio, &ada);
        let mended = async || world.attio.status(&ada.record_id).as_deref() == Some("Complete");
        world.pass_until("it is mended", MINUTE, MINUTE * 17, mended).await;
    }
}

scenario! {
    async fn a_persons_own_word_survives_the_reading_back(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = complete_after_a_lost_patch(&world, &app).await;
        world.attio.edit(&ada.record_id, "alc_status", "Called her myself");
        let read = async || world.attio.journal().count("get_record") >= 2;
        world.pass_until("it was read back twice", MINUTE, MINUTE * 20, read).await;
        world.pass_slowly(MINUTE, 2).await;
        assert_eq!(world.attio.status(&ada.record_id).as_deref(), Some("Called her myself"));
    }
}

scenario! {
    async fn no_more_writes_a_second_than_attio_takes(setup: Setup) {
        let (world, app) = setup.with("ATTIO__WRITES_PER_SECOND", "5").connected().await;
        // One more than we pace by: a request is counted when it arrives, not when it was let go.
        world.attio.configure(|attio| attio.writes_per_second = Some(6));
        let people: Vec<_> = (0..20).map(|_| world.person()).collect();
        let presses = people.iter().map(|person| app.press(person));
        for answer in futures_util::future::join_all(presses).await {
            answer.expect(201);
        }
        let all = async || people.iter().all(|person| world.attio.status(&person.record_id).is_some());
        world.pass_until("all are shown", std::time::Duration::from_millis(50), MINUTE, all).await;
        let refused = world.attio.journal().requests("patch_record").iter().filter(|seen| seen.status == Some(429)).count();
        assert_eq!(refused, 0, "paced, not refused");
        assert_eq!(world.attio.journal().count("patch_record"), people.len(), "one PATCH each");
    }
}
