//! What comes in while a request is under way.

use std::time::Duration;

use sandbox::{Callback, Fault, Hold, Stage};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{
    ambient::spawn,
    attio_app::AttioApp,
    harness::{DAY, HOUR, Person, Setup, World, scenario},
    http::{Answer, send},
};

/// Settings whose `SEND_WAIT` ends before a request to ALC does.
fn with_a_short_wait(setup: Setup) -> Setup {
    setup.with("LEADS__SEND_WAIT", "1s")
}

scenario! {
    async fn a_removal_while_the_post_is_under_way_ends_the_lead_a_day_later(setup: Setup) {
        // Without polls nothing else would look at the lead before its deadline of 30 days.
        let (world, app) = setup.with("ALC__POLL_AFTER", "0s").connected().await;
        let ada = world.person();
        let hold = world.alc.faults().hold("create_lead", Stage::After);
        let pressed = spawn({ let (app, ada) = (app.clone(), ada.clone()); async move { app.press(&ada).await } });
        hold.reached(1).await;
        app.connection_removed().await.expect(202);
        // The workspace's leads are woken now; this one is leased.
        let gone = async || world.alc.webhooks().is_empty();
        world.pass_until("the webhook goes", Duration::from_secs(1), HOUR, gone).await;
        hold.release();
        pressed.await.expect("an answer").expect(201);
        world.shows(&ada, "Pending").await;
        let failed = async || world.attio.status(&ada.record_id).as_deref() == Some("Failed");
        world.pass_until("Attio shows Failed", HOUR, DAY + HOUR * 2, failed).await;
        assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some("disconnected"));
    }
}

scenario! {
    async fn a_lead_that_completes_while_the_button_waits_is_not_called_queued(setup: Setup) {
        let (world, app) = with_a_short_wait(setup).connected().await;
        let ada = world.person();
        let hold = world.alc.faults().hold("create_lead", Stage::After);
        let pressed = spawn({ let (app, ada) = (app.clone(), ada.clone()); async move { app.press(&ada).await } });
        hold.reached(1).await;
        world.call_back(&ada, "qualified").await;
        world.pass(Duration::from_secs(2)).await;
        let lead = pressed.await.expect("an answer").expect(201).json();
        assert_eq!(lead["status"], "complete");
        hold.release();
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn two_presses_on_one_record_are_each_told_of_their_own_send(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        // The first send has finished, its request has not.
        let Watched { hold, first, second } = a_watched_refusal(&world, &app, &ada).await;
        hold.release();
        assert_eq!(first.await.expect("an answer").expect(201).json()["status"], "complete");
        second.await.expect("an answer").expect_problem(422, "lead-rejected");
        world.pass_slowly(Duration::from_secs(1), 5).await;
        assert!(!world.attio.history(&ada.record_id).contains(&"Failed".to_owned()), "told in the request, not in Attio");
    }
}

scenario! {
    async fn other_events_need_no_record(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        let body = json!({"event": "webhook.test", "sent_at": 1}).to_string();
        world.tell(Callback::new(&ada.record_id, "x").body(&body), 200).await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
    }
}

scenario! {
    async fn connection_removed_cannot_be_said_wrongly(setup: Setup) {
        let (world, app) = setup.connected().await;
        let request = app.request(reqwest::Method::POST, "/v1/events/connection-removed");
        send(request.header("content-type", "text/plain").body("nonsense")).await.expect(202);
        let gone = async || world.alc.webhooks().is_empty();
        world.pass_until("the webhook goes", Duration::from_secs(1), HOUR, gone).await;
    }
}

scenario! {
    async fn a_result_that_another_press_overtook_reaches_attio_all_the_same(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.attio.faults().always("patch_record", Fault::status(503));
        world.call_back(&ada, "qualified").await;
        world.alc.faults().next("create_lead", Fault::status(422));
        app.press(&ada).await.expect_problem(422, "lead-rejected");
        world.attio.faults().clear("patch_record");
        let shown = async || world.attio.status(&ada.record_id).as_deref() == Some("Complete");
        world.pass_until("Attio shows the result of the first send", Duration::from_secs(10), HOUR, shown).await;
        assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some("qualified"));
        assert_eq!(app.lead_says(&ada, "reason").await, "rejected");
    }
}

scenario! {
    async fn alcs_words_of_refusal_are_kept_whatever_attio_says(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.faults().next("create_lead", Fault::status(503));
        let words = Fault::status_with(422, ("content-type", "application/json"), json!({ "message": "not a mobile" }));
        world.alc.faults().next("create_lead", words);
        let pressed = world.while_time_passes(app.press_with_key(&ada, "once"));
        pressed.await.expect(202);
        world.shows(&ada, "Failed").await;
        let replayed = app.press_with_key(&ada, "once").await.expect_problem(422, "lead-rejected");
        let detail = replayed.json()["detail"].to_string();
        assert!(detail.contains("not a mobile"), "{detail}");
    }
}

/// Two presses on one record.
struct Watched {
    /// Keeps ALC's answer to the first one back.
    hold: Hold,
    first: JoinHandle<Answer>,
    /// Watches what the first one's worker goes on with, and ALC is to refuse.
    second: JoinHandle<Answer>,
}

async fn a_watched_refusal(world: &World, app: &AttioApp, ada: &Person) -> Watched {
    let press = || {
        spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press(&ada).await }
        })
    };
    let hold = world.alc.faults().hold("create_lead", Stage::After);
    let first = press();
    hold.reached(1).await;
    world.call_back(ada, "qualified").await;
    world.alc.faults().next("create_lead", Fault::status(400));
    let second = press();
    let begun = async || app.lead_says(ada, "status").await == "queued";
    world.pass_until("the second send is stored", Duration::ZERO, Duration::from_secs(5), begun).await;
    Watched { hold, first, second }
}

scenario! {
    async fn a_refusal_whose_watcher_hung_up_is_shown_by_attio(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let Watched { hold, first, second } = a_watched_refusal(&world, &app, &ada).await;
        second.abort();
        drop(second.await);
        hold.release();
        first.await.expect("an answer").expect(201);
        let shown = async || world.attio.status(&ada.record_id).as_deref() == Some("Failed");
        world.pass_until("Attio shows the refusal", Duration::from_secs(1), HOUR, shown).await;
        assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some("rejected"));
    }
}

scenario! {
    async fn a_refusal_whose_watcher_hung_up_during_the_post_is_shown_by_attio(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        let Watched { hold, first, second } = a_watched_refusal(&world, &app, &ada).await;
        // Of the second request ALC thinks for so long that its caller hangs up.
        let refusing = world.alc.faults().hold("create_lead", Stage::After);
        hold.release();
        first.await.expect("an answer").expect(201);
        refusing.reached(1).await;
        second.abort();
        drop(second.await);
        // Noticed by the service, and written down, before ALC's answer.
        world.pass_slowly(Duration::ZERO, 3).await;
        refusing.release();
        let shown = async || world.attio.status(&ada.record_id).as_deref() == Some("Failed");
        world.pass_until("Attio shows the refusal", Duration::from_secs(1), HOUR, shown).await;
    }
}
