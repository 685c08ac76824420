//! Operation `sendLead`, long afterwards: no lead waits for ever, and none is lost for want of a callback.

use sandbox::Callback;
use serde_json::json;

use crate::support::harness::{DAY, HOUR, MINUTE, Setup, scenario};

scenario! {
    async fn a_lead_that_could_not_be_sent_within_a_day_fails_as_not_sent(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.server().go_down().await;
        app.press(&ada).await.expect(202);
        let failed = async || world.attio.status(&ada.record_id).as_deref() == Some("Failed");
        world.pass_until("Attio shows Failed", MINUTE * 30, HOUR * 26, failed).await;
        let lead = app.lead(&ada).await.json();
        assert_eq!((&lead["status"], &lead["reason"]), (&json!("failed"), &json!("not-sent")));
        assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some("not-sent"));
        world.alc.server().come_up().await;
        world.pass_slowly(HOUR, 4).await;
        assert!(world.alc.leads().is_empty(), "nobody gets an SMS weeks later");
    }
}

scenario! {
    async fn a_pending_lead_of_thirty_days_fails_as_timed_out_and_alcs_late_result_still_counts(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let failed = async || world.attio.status(&ada.record_id).as_deref() == Some("Failed");
        world.pass_until("Attio shows Failed", DAY, DAY * 32, failed).await;
        let lead = app.lead(&ada).await.json();
        assert_eq!((&lead["status"], &lead["reason"]), (&json!("failed"), &json!("timed-out")));

        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        assert_eq!(app.lead_says(&ada, "status").await, "complete");
        world.tell(Callback::new(&ada.record_id, "unqualified"), 200).await;
        assert_eq!(app.lead_says(&ada, "result").await, "qualified", "complete is final");
    }
}

scenario! {
    async fn a_finished_lead_is_forgotten_after_ninety_days(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.pass_slowly(DAY * 10, 8).await;
        app.lead(&ada).await.expect(200);
        let forgotten = async || app.lead(&ada).await.status == 404;
        world.pass_until("it is forgotten", DAY, DAY * 15, forgotten).await;
        assert_eq!(app.leads("").await.json()["leads"], json!([]));
    }
}

scenario! {
    async fn a_result_nobody_called_about_is_found_by_polling(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.alc.finish_silently(&ada.record_id, "qualified");
        world.pass_slowly(HOUR, 5).await;
        assert_eq!(world.alc.journal().count("get_lead"), 0, "not before six hours");
        let complete = async || world.attio.status(&ada.record_id).as_deref() == Some("Complete");
        world.pass_until("Attio shows Complete", MINUTE * 30, HOUR * 24, complete).await;
        assert_eq!(app.lead_says(&ada, "result").await, "qualified");
    }
}

scenario! {
    async fn polling_goes_on_while_it_is_not_finished(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        let polled = async || world.alc.journal().count("get_lead") + world.alc.journal().count("list_leads") > 3;
        world.pass_until("polled four times", HOUR * 6, DAY * 5, polled).await;
        world.alc.finish_silently(&ada.record_id, "qualified");
        let complete = async || world.attio.status(&ada.record_id).as_deref() == Some("Complete");
        world.pass_until("at least daily", HOUR, HOUR * 30, complete).await;
    }
}

scenario! {
    async fn polling_can_be_off(setup: Setup) {
        let (world, app) = setup.with("ALC__POLL_AFTER", "0s").connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.alc.finish_silently(&ada.record_id, "qualified");
        world.pass_slowly(HOUR * 12, 6).await;
        assert_eq!(world.alc.journal().count("get_lead") + world.alc.journal().count("list_leads"), 0);
    }
}
