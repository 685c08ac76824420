//! An ALC that has nothing but what is known of it.

use sandbox::Fault;
use serde_json::Value;

use crate::support::harness::{DAY, HOUR, MINUTE, Setup, scenario};

scenario! {
    async fn the_whole_life_works(setup: Setup) {
        let (world, app) = setup.minimal_alc().connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        app.connection_removed().await.expect(202);
        world.alc.journal().wait_answered("delete_webhook", 1).await;
        assert!(world.alc.webhooks().is_empty());
    }
}

scenario! {
    async fn a_reset_after_the_body_is_sent_again(setup: Setup) {
        let (world, app) = setup.minimal_alc().connected().await;
        let ada = world.person();
        world.alc.faults().next("create_lead", Fault::Reset);
        app.press(&ada).await;
        let pending = async || app.lead_says(&ada, "lead_id").await != Value::Null;
        world.pass_until("sent again", MINUTE, HOUR, pending).await;
        let sent = world.alc.journal().requests("create_lead");
        assert_eq!(sent.len(), 2, "once more, not for ever");
        assert_eq!(sent[0].idempotency_key(), sent[1].idempotency_key());
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn a_reset_after_the_body_waits_for_the_callback_where_resending_is_off(setup: Setup) {
        let (world, app) = setup.minimal_alc().with("ALC__RESEND_UNKNOWN", "false").connected().await;
        let ada = world.person();
        world.alc.faults().next("create_lead", Fault::Reset);
        app.press(&ada).await;
        let pending = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it is pending", MINUTE, HOUR, pending).await;
        world.pass_slowly(HOUR, 12).await;
        assert_eq!(world.alc.journal().count("create_lead"), 1, "not sent again");
        assert_eq!(app.lead_says(&ada, "lead_id").await, Value::Null);
        world.shows(&ada, "Pending").await;
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn what_was_not_sent_for_certain_goes_out_even_where_resending_is_off(setup: Setup) {
        let (world, app) = setup.minimal_alc().with("ALC__RESEND_UNKNOWN", "false").connected().await;
        let ada = world.person();
        world.alc.server().go_down().await;
        app.press(&ada).await.expect(202);
        world.alc.server().come_up().await;
        let pending = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it goes out", MINUTE, HOUR, pending).await;
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1);
    }
}

scenario! {
    async fn what_this_alc_lacks_is_not_asked_for_again_and_again(setup: Setup) {
        let (world, app) = setup.minimal_alc().connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.pass_slowly(HOUR * 7, 3).await;
        let asked = ["list_leads", "get_lead"].map(|operation| world.alc.journal().count(operation));
        assert!(asked.iter().sum::<usize>() <= 4, "{asked:?} within a day");
        world.pass_slowly(DAY, 1).await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
    }
}
