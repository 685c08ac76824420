//! What ALC and Attio answer in the real world: true in content and odd in form, cut, coded, or not to be read at all.

use sandbox::{Fault, Oddity};
use serde_json::{Value, json};

use crate::support::harness::{DAY, HOUR, MINUTE, Setup, scenario};

scenario! {
    async fn a_lead_is_sent_once_whatever_form_the_answer_has(setup: Setup) {
        let (world, app) = setup.connected().await;
        for form in Oddity::ALL {
            let ada = world.person();
            world.alc.faults().next("create_lead", Fault::Odd { form });
            let lead = app.press(&ada).await.expect(201).json();
            let sent = world.alc.leads_of(&ada.record_id);
            assert_eq!(sent.len(), 1, "{form:?}");
            assert_eq!(lead["lead_id"], sent[0].id.as_str(), "{form:?}");
        }
        assert_eq!(world.alc.journal().count("create_lead"), Oddity::ALL.len(), "one POST each");
    }
}

scenario! {
    async fn what_cannot_be_read_is_looked_up(setup: Setup) {
        let (world, app) = setup.connected().await;
        for (status, body) in [(200, json!("OK")), (201, json!("<html>created</html>")), (202, json!("{\"id\": \"L-"))] {
            let ada = world.person();
            world.alc.faults().next("create_lead", Fault::DoneBut { status, body: body.clone() });
            app.press(&ada).await;
            let pending = async || app.lead_says(&ada, "status").await == "pending";
            world.pass_until("it is pending", MINUTE, HOUR, pending).await;
            let sent = world.alc.leads_of(&ada.record_id);
            assert_eq!(sent.len(), 1, "{body}");
            assert_eq!(app.lead_says(&ada, "lead_id").await, sent[0].id.as_str(), "{body}");
        }
        assert_eq!(world.alc.journal().count("create_lead"), 3, "a look-up found each");
    }
}

scenario! {
    async fn a_second_answer_that_cannot_be_read_is_an_acceptance(setup: Setup) {
        let (world, app) = setup.minimal_alc().connected().await;
        let (ada, bob) = (world.person(), world.person());
        world.alc.faults().always("create_lead", Fault::DoneBut { status: 201, body: json!("<html>created</html>") });
        app.press(&ada).await;
        let pending = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it is pending", MINUTE, HOUR, pending).await;
        world.pass_slowly(HOUR, 8).await;
        let keys: Vec<_> = world.alc.journal().requests("create_lead").iter().map(|seen| seen.idempotency_key().map(str::to_owned)).collect();
        assert_eq!(keys.len(), 2, "once more, not for ever");
        assert_eq!(keys[0], keys[1]);
        assert_eq!(app.lead_says(&ada, "lead_id").await, Value::Null);
        world.shows(&ada, "Pending").await;
        // Neither was a failure of ALC's: nobody else waits.
        world.alc.faults().clear("create_lead");
        app.press(&bob).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn no_answer_that_cannot_be_read_opens_the_breaker_or_ends_as_not_sent(setup: Setup) {
        let (world, app) = setup.minimal_alc().connected().await;
        let people: Vec<_> = (0..8).map(|_| world.person()).collect();
        world.alc.faults().always("create_lead", Fault::DoneBut { status: 200, body: json!("OK") });
        for person in &people {
            app.press(person).await;
        }
        world.alc.faults().clear("create_lead");
        app.press(&world.person()).await.expect(201);
        world.alc.faults().always("create_lead", Fault::DoneBut { status: 200, body: json!("OK") });
        for person in &people {
            let pending = async || app.lead_says(person, "status").await == "pending";
            world.pass_until("it is pending", MINUTE, HOUR, pending).await;
        }
        assert_eq!(world.alc.journal().count("create_lead"), people.len() * 2 + 1);
        world.pass_slowly(DAY, 2).await;
        assert_eq!(app.lead_says(&people[0], "status").await, "pending");
    }
}

scenario! {
    async fn look_ups_and_polls_are_read_in_every_form(setup: Setup) {
        let (world, app) = setup.connected().await;
        for form in Oddity::ALL {
            let ada = world.person();
            world.alc.faults().next("create_lead", Fault::done_but_500());
            world.alc.faults().next("list_leads", Fault::Odd { form });
            app.press(&ada).await;
            let pending = async || app.lead_says(&ada, "status").await == "pending";
            world.pass_until("it is pending", MINUTE, HOUR, pending).await;
            let sent = world.alc.leads_of(&ada.record_id);
            assert_eq!(sent.len(), 1, "{form:?}");
            assert_eq!(app.lead_says(&ada, "lead_id").await, sent[0].id.as_str(), "{form:?}");
        }
    }
}

scenario! {
    async fn a_worn_out_connection_costs_nothing(setup: Setup) {
        // A gateway may refuse what ALC does not have, in place of ALC's 404.
        for (resend, refusal) in [("true", 404), ("false", 404), ("false", 403)] {
            let (world, app) = setup.clone().minimal_alc().with("ALC__RESEND_UNKNOWN", resend).connected().await;
            world.alc.faults().always("list_leads", Fault::status(refusal));
            let (ada, bob) = (world.person(), world.person());
            app.press(&ada).await.expect(201);
            world.shows(&ada, "Pending").await;
            world.alc.faults().next("create_lead", Fault::WornOut);
            world.attio.faults().next("patch_record", Fault::WornOut);
            let lead = app.press(&bob).await.expect(201).json();
            let sent = world.alc.leads_of(&bob.record_id);
            assert_eq!(sent.len(), 1);
            assert_eq!(lead["lead_id"], sent[0].id.as_str(), "resend {resend}");
            world.shows(&bob, "Pending").await;
        }
    }
}

scenario! {
    async fn no_retry_after_uses_up_the_day_in_which_a_lead_must_be_sent(setup: Setup) {
        let (world, app) = setup.connected().await;
        let in_an_hour = (world.now().as_second() + 3_600).to_string();
        for value in ["4.0", &in_an_hour, "86400", "99999999999", "1 hour", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            let ada = world.person();
            world.alc.faults().next("create_lead", Fault::status_with(429, ("retry-after", value), Value::Null));
            app.press(&ada).await.expect(202);
            let pending = async || app.lead_says(&ada, "status").await == "pending";
            world.pass_until(&format!("{value} is over"), MINUTE, HOUR * 2, pending).await;
        }
    }
}

scenario! {
    async fn a_lead_id_that_attio_refuses_keeps_nothing_else_from_being_shown(setup: Setup) {
        let (world, app) = setup.connected().await;
        let named = json!({
            "status_code": 400, "type": "invalid_request_error", "code": "uniqueness_conflict",
            "message": "The attribute \"alc_lead_id\" must be unique.",
        });
        let unnamed = json!({ "status_code": 400, "type": "invalid_request_error", "code": "validation_type", "message": "No." });
        for body in [named, unnamed] {
            let ada = world.person();
            let fault = Fault::status_with(400, ("content-type", "application/json"), body);
            world.attio.faults().add(sandbox::Rule {
                operation: "patch_record".to_owned(), fault, times: None, contains: Some("alc_lead_id".to_owned()),
            });
            app.press(&ada).await.expect(201);
            world.shows(&ada, "Pending").await;
            world.call_back(&ada, "qualified").await;
            world.shows(&ada, "Complete").await;
            world.synced(&app, &ada).await;
            assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some("qualified"));
            assert!(app.lead_says(&ada, "last_error").await.is_string(), "the refusal stays on the lead");
            world.attio.faults().clear("patch_record");
        }
    }
}
