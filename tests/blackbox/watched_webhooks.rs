//! The webhooks at ALC and at Attio are looked at again: what was lost, what a person deleted, and what a change of
//! `PUBLIC_URL` left behind is repaired within a day.

use alc_connector::store::Key;
use sandbox::{Callback, Fault};
use serde_json::{Value, json};

use crate::{
    newer_version::rewrite_due,
    support::{
        attio_app::AttioApp,
        harness::{DAY, HOUR, MINUTE, Setup, World, scenario},
    },
};

async fn webhook(app: &AttioApp) -> Value {
    app.refresh().await.expect(200);
    app.connection().await.expect(200).json()["webhook"].clone()
}

/// ALC calls exactly one webhook, and that is another one than `last`.
async fn repaired(world: &World, last: &str) -> String {
    let other = async || {
        let webhooks = world.alc.webhooks();
        webhooks.len() == 1 && webhooks[0].webhook_id != last
    };
    world.pass_until("the webhook is repaired", HOUR, DAY, other).await;
    world.alc.webhooks()[0].webhook_id.clone()
}

async fn a_lead_goes_round(world: &World, app: &AttioApp) {
    let ada = world.person();
    app.refresh().await.expect(200);
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.call_back(&ada, "qualified").await;
    world.shows(&ada, "Complete").await;
}

/// How many of ALC's webhooks were found to be lost, by all services of this process.
fn counted_as_lost() -> u64 {
    let metrics = alc_connector::telemetry::metrics().render();
    let name = r#"alc_connector_webhook_looks_total{upstream="alc",found="lost"} "#;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("it is there from the start");
    line.parse().expect("a count")
}

scenario! {
    async fn what_alc_lost_is_made_again_within_a_day(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let last = world.alc.webhooks()[0].webhook_id.clone();
        let before = counted_as_lost();
        world.alc.lose_webhook(&last);
        repaired(&world, &last).await;
        assert_eq!(world.alc.all_webhooks().len(), 2, "one is made, by one replica");
        assert!(counted_as_lost() > before, "and operators can see it");
        let shown = webhook(&app).await;
        assert_eq!(shown["status"], "registered");
        // What ALC had under way is still understood, and signed as it was.
        world.tell(Callback::new(&ada.record_id, "qualified").to(&last), 200).await;
        world.shows(&ada, "Complete").await;
        a_lead_goes_round(&world, &app).await;
        // Looked at again, it is found in its place.
        let confirmed = async || webhook(&app).await["confirmed_at"].is_string();
        world.pass_until("it is confirmed", HOUR, DAY, confirmed).await;
        assert_eq!(webhook(&app).await["id"], shown["id"]);
    }
}

scenario! {
    async fn what_is_there_is_looked_at_once_a_day_and_stays(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let last = world.alc.webhooks()[0].webhook_id.clone();
        let listed = || (world.alc.journal().count("list_webhooks"), world.attio.journal().count("list_webhooks"));
        let before = listed();
        let looks = || (listed().0 - before.0, listed().1 - before.1);
        for _ in 0..8 {
            world.pass_slowly(HOUR * 12, 1).await;
        }
        let four = async || looks().0 >= 4 && looks().1 >= 4;
        world.pass_until("a look a day at either side", MINUTE, HOUR, four).await;
        assert!(looks().0 <= 6 && looks().1 <= 6, "{:?} looks in four days", looks());
        assert_eq!(world.alc.webhooks()[0].webhook_id, last);
        assert!(webhook(&app).await["confirmed_at"].is_string());
    }
}

/// The webhook as a version before would have left it, that looked at none: at rest.
fn as_before(webhooks: &mut Value) {
    for webhook in webhooks.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        ["base", "look_at", "confirmed_at"].iter().for_each(|name| drop(webhook.remove(*name)));
    }
}

scenario! {
    async fn what_a_version_before_has_made_is_looked_at_within_a_day_and_repaired(setup: Setup) {
        let (mut world, app) = subscribed(setup).await;
        world.pass(MINUTE).await;
        let rewritten = rewrite_due(&mut world, Key::workspace(), None, |_| json!("connected"), |workspace| {
            as_before(&mut workspace["webhooks"]);
            as_before(&mut workspace["attio_webhooks"]);
        });
        rewritten.await;
        let seen = async || {
            let all = [webhook(&app).await, attio_webhook(&app).await];
            all.iter().all(|webhook| webhook["confirmed_at"].is_string())
        };
        world.pass_until("both are looked at", HOUR, DAY, seen).await;
        // ALC's and Attio's lists say under which URL they were made.
        rewrite_due(&mut world, Key::workspace(), None, |_| json!("connected"), |workspace| {
            as_before(&mut workspace["webhooks"]);
            as_before(&mut workspace["attio_webhooks"]);
        })
        .await;
        let (last, at_attio) = (world.alc.webhooks()[0].webhook_id.clone(), world.attio.webhooks()[0].webhook_id.clone());
        world.settings.set("HTTP__PUBLIC_URL", &world.url().replace("127.0.0.1", "localhost"));
        world.restart().await;
        repaired(&world, &last).await;
        repaired_at_attio(&world, &at_attio).await;
        a_lead_goes_round(&world, &app).await;
    }
}

scenario! {
    async fn after_a_change_of_public_url_alc_is_told_the_new_one(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        let last = world.alc.webhooks()[0].clone();
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        // Some webhooks' turn comes at once: until ALC makes another one it stays as it is.
        world.alc.faults().always("create_webhook", Fault::status(503));
        world.settings.set("HTTP__PUBLIC_URL", &world.url().replace("127.0.0.1", "localhost"));
        world.restart().await;
        assert_eq!(webhook(&app).await["outdated"], true);
        world.alc.faults().clear("create_webhook");
        repaired(&world, &last.webhook_id).await;
        let next = world.alc.webhooks()[0].clone();
        assert!(next.url.starts_with("http://localhost"), "the new URL");
        assert_eq!(webhook(&app).await["outdated"], Value::Null);
        // A lead under way is called back about where ALC was told to, and signed with that secret.
        world.tell(Callback::new(&ada.record_id, "qualified").to(&last.webhook_id), 200).await;
        world.shows(&ada, "Complete").await;
        a_lead_goes_round(&world, &app).await;
    }
}

scenario! {
    async fn an_alc_that_cannot_list_is_told_of_a_new_public_url_all_the_same(setup: Setup) {
        let (mut world, app) = setup.alc(|alc| alc.webhook_list = false).connected().await;
        let last = world.alc.webhooks()[0].webhook_id.clone();
        world.pass_slowly(HOUR * 12, 4).await;
        assert_eq!(world.alc.webhooks()[0].webhook_id, last, "nothing tells that it is missing");
        assert_eq!(webhook(&app).await["confirmed_at"], Value::Null, "nothing tells that it is there");
        world.settings.set("HTTP__PUBLIC_URL", &world.url().replace("127.0.0.1", "localhost"));
        world.restart().await;
        repaired(&world, &last).await;
        a_lead_goes_round(&world, &app).await;
    }
}

/// An ALC whose tokens live on and are never renewed: nothing is due of itself but the looks.
fn never_refreshed(alc: &mut sandbox::alc::Settings) {
    alc.refresh_tokens = false;
    alc.expires_in = None;
}

scenario! {
    /// What a gateway answers to a call that ALC does not know says nothing of the grant.
    async fn an_alc_that_refuses_its_list_disconnects_nobody_and_is_told_of_a_new_public_url(setup: Setup) {
        let (mut world, app) = setup.alc(never_refreshed).connected().await;
        let last = world.alc.webhooks()[0].webhook_id.clone();
        world.alc.faults().always("list_webhooks", Fault::status(401));
        world.pass_slowly(HOUR, 26).await;
        assert!(world.alc.journal().count("list_webhooks") > 0, "it is asked");
        a_lead_goes_round(&world, &app).await;
        assert_eq!(app.connection().await.expect(200).json()["status"], "connected");
        world.settings.set("HTTP__PUBLIC_URL", &world.url().replace("127.0.0.1", "localhost"));
        world.restart().await;
        repaired(&world, &last).await;
        a_lead_goes_round(&world, &app).await;
    }
}

scenario! {
    async fn a_version_before_that_forgets_when_to_look_costs_no_look(setup: Setup) {
        let (mut world, app) = setup.alc(never_refreshed).connected().await;
        let last = world.alc.webhooks()[0].webhook_id.clone();
        world.alc.lose_webhook(&last);
        // It knows of no looks, and of nothing else that would be due.
        rewrite_due(&mut world, Key::workspace(), None, |_| json!("connected"), |_| {}).await;
        repaired(&world, &last).await;
        a_lead_goes_round(&world, &app).await;
    }
}

scenario! {
    async fn orphans_of_ours_go_and_nothing_else_is_touched(setup: Setup) {
        let (world, app) = setup.connected().await;
        let own = world.alc.webhooks()[0].clone();
        let (path, token) = own.url.rsplit_once('/').expect("a path");
        let (workspace, _) = token.split_once('.').expect("a workspace and a secret");
        let secret = "A".repeat(43);
        let orphan = world.alc.plant_webhook("renamed", &format!("{path}/{workspace}.{secret}"));
        let another = uuid::Uuid::new_v4();
        let others = [
            world.alc.plant_webhook("alc-connector", &format!("{path}/{another}.{secret}")),
            world.alc.plant_webhook(&own.name, &format!("https://staging.example/webhooks/alc/{workspace}.{secret}")),
            world.alc.plant_webhook("crm", "https://crm.example/hooks/1"),
        ];
        let stands = |id: &String| world.alc.webhooks().iter().any(|webhook| webhook.webhook_id == *id);
        world.pass_until("the orphan goes", HOUR, DAY, async || !stands(&orphan)).await;
        assert!(others.iter().all(stands), "another's webhook was deleted");
        assert!(stands(&own.webhook_id));
        a_lead_goes_round(&world, &app).await;
    }
}

scenario! {
    async fn a_repair_whose_answer_is_lost_leaves_nothing_behind(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let last = world.alc.webhooks()[0].webhook_id.clone();
        world.alc.lose_webhook(&last);
        // Made, and the answer lost, as after a crash.
        world.alc.faults().next("create_webhook", Fault::done_but_500());
        world.pass_until("it is made, unheard", HOUR, DAY, async || world.alc.all_webhooks().len() > 1).await;
        let spare = world.alc.all_webhooks()[1].webhook_id.clone();
        repaired(&world, &spare).await;
        a_lead_goes_round(&world, &app).await;
    }
}

scenario! {
    async fn while_alc_makes_no_other_one_the_connection_says_that_it_is_gone(setup: Setup) {
        let (world, app) = setup.connected().await;
        let last = world.alc.webhooks()[0].webhook_id.clone();
        world.alc.lose_webhook(&last);
        world.alc.faults().always("create_webhook", Fault::status(503));
        let gone = async || webhook(&app).await["status"] == "gone";
        world.pass_until("the truth is told", HOUR, DAY, gone).await;
        world.alc.faults().clear("create_webhook");
        let repaired = async || webhook(&app).await["status"] == "registered";
        world.pass_until("it is made once ALC makes it", MINUTE * 10, HOUR * 3, repaired).await;
        assert_eq!(world.alc.webhooks().len(), 1);
        a_lead_goes_round(&world, &app).await;
    }
}

scenario! {
    async fn one_that_proves_no_callback_is_deleted_and_alc_is_asked_again_tomorrow(setup: Setup) {
        let (world, app) = setup.with("ALC__WEBHOOK_SIGNATURE", "required").connected().await;
        let last = world.alc.webhooks()[0].webhook_id.clone();
        world.alc.lose_webhook(&last);
        world.alc.configure(|alc| alc.secrets = false);
        let tried = async || world.alc.all_webhooks().len() > 1 && world.alc.webhooks().is_empty();
        world.pass_until("it is made, and deleted", HOUR, DAY, tried).await;
        assert_eq!(webhook(&app).await["status"], "gone");
        world.pass_slowly(HOUR, 12).await;
        assert_eq!(world.alc.all_webhooks().len(), 2, "asked once");
        world.alc.configure(|alc| alc.secrets = true);
        repaired(&world, &last).await;
        a_lead_goes_round(&world, &app).await;
    }
}

scenario! {
    async fn an_alc_that_lists_ours_never_makes_no_webhook_every_day(setup: Setup) {
        let (world, app) = setup.connected().await;
        let first = world.alc.webhooks()[0].webhook_id.clone();
        let others = || Fault::status_with(200, ("x-page", "1"), json!({ "webhooks": [] }));
        world.alc.faults().always("list_webhooks", others());
        let second = repaired(&world, &first).await;
        world.pass_slowly(HOUR * 12, 6).await;
        assert_eq!(world.alc.all_webhooks().len(), 2, "it is made once");
        assert_eq!(webhook(&app).await["confirmed_at"], Value::Null, "nothing tells that it is there");
        a_lead_goes_round(&world, &app).await;
        // Once ALC lists it, ALC is believed again.
        world.alc.faults().clear("list_webhooks");
        let confirmed = async || webhook(&app).await["confirmed_at"].is_string();
        world.pass_until("it is confirmed", HOUR, DAY, confirmed).await;
        world.alc.lose_webhook(&second);
        repaired(&world, &second).await;
    }
}

/// Connected, at an Attio that takes a URL without TLS.
async fn subscribed(setup: Setup) -> (World, AttioApp) {
    let world = setup.start().await;
    world.attio.configure(|attio| attio.https_webhooks_only = false);
    let app = world.connect().await;
    assert_eq!(world.attio.webhooks().len(), 1);
    (world, app)
}

async fn attio_webhook(app: &AttioApp) -> Value {
    app.refresh().await.expect(200);
    app.connection().await.expect(200).json()["attio_webhook"].clone()
}

/// Attio calls exactly one webhook, and that is another one than `last`.
async fn repaired_at_attio(world: &World, last: &str) {
    let other = async || {
        let webhooks = world.attio.webhooks();
        webhooks.len() == 1 && webhooks[0].webhook_id != last
    };
    world.pass_until("the webhook at Attio is repaired", HOUR, DAY, other).await;
}

/// Attio tells of a deletion, and the lead ends by it.
async fn a_deletion_is_heard(world: &World, app: &AttioApp) {
    let ada = world.person();
    app.refresh().await.expect(200);
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.attio.delete_person(&ada.record_id);
    let told = world.attio.deliver(vec![world.attio.event("record.deleted", &ada.record_id)]).await;
    assert_eq!(told, [200]);
    assert_eq!(app.lead_says(&ada, "reason").await, "record-deleted");
}

scenario! {
    async fn what_attio_lost_is_made_again_within_a_day(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let (last, shown) = (world.attio.webhooks()[0].clone(), attio_webhook(&app).await);
        assert_eq!(shown["status"], "registered");
        world.attio.lose_webhook(&last.webhook_id);
        repaired_at_attio(&world, &last.webhook_id).await;
        assert_ne!(attio_webhook(&app).await["id"], shown["id"]);
        assert_eq!(world.attio.journal().count("create_webhook"), 2, "one is made, by one replica");
        a_deletion_is_heard(&world, &app).await;
        let confirmed = async || attio_webhook(&app).await["confirmed_at"].is_string();
        world.pass_until("it is confirmed", HOUR, DAY, confirmed).await;
    }
}

scenario! {
    async fn after_a_change_of_public_url_attio_is_told_the_new_one(setup: Setup) {
        let (mut world, app) = subscribed(setup.attio_grants()).await;
        let last = world.attio.webhooks()[0].webhook_id.clone();
        world.attio.faults().always("create_webhook", Fault::status(503));
        world.settings.set("HTTP__PUBLIC_URL", &world.url().replace("127.0.0.1", "localhost"));
        world.restart().await;
        assert_eq!(attio_webhook(&app).await["outdated"], true);
        world.attio.faults().clear("create_webhook");
        repaired_at_attio(&world, &last).await;
        assert!(world.attio.webhooks()[0].target_url.starts_with("http://localhost"), "the new URL");
        assert_eq!(attio_webhook(&app).await["outdated"], Value::Null);
        a_deletion_is_heard(&world, &app).await;
    }
}

scenario! {
    async fn orphans_of_ours_go_at_attio_and_nothing_else_is_touched(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let own = world.attio.webhooks()[0].clone();
        let (path, token) = own.target_url.rsplit_once('/').expect("a path");
        let (workspace, _) = token.split_once('.').expect("a workspace and a secret");
        let (another, secret) = (uuid::Uuid::new_v4(), "A".repeat(43));
        let others = [
            world.attio.plant_webhook(&format!("{path}/{another}.{secret}")),
            world.attio.plant_webhook(&format!("https://staging.example/webhooks/attio/{workspace}.{secret}")),
            world.attio.plant_webhook("https://crm.example/hooks/1"),
        ];
        // The last on the list: by the time it is gone, each of the others has had its turn.
        let orphan = world.attio.plant_webhook(&format!("{path}/{workspace}.{secret}"));
        let stands = |id: &String| world.attio.webhooks().iter().any(|webhook| webhook.webhook_id == *id);
        world.pass_until("the orphan goes", HOUR, DAY, async || !stands(&orphan)).await;
        assert!(others.iter().all(stands), "another's webhook was deleted");
        assert!(stands(&own.webhook_id));
        others.iter().for_each(|id| world.attio.lose_webhook(id));
        a_deletion_is_heard(&world, &app).await;
    }
}

scenario! {
    async fn a_repair_at_attio_whose_answer_is_lost_leaves_nothing_behind(setup: Setup) {
        let (world, app) = subscribed(setup.impatient()).await;
        let last = world.attio.webhooks()[0].webhook_id.clone();
        world.attio.lose_webhook(&last);
        world.attio.faults().next("create_webhook", Fault::done_but_500());
        let count = |operation| world.attio.journal().count(operation);
        let done = async || {
            let spare_is_deleted = count("create_webhook") == 3 && count("delete_webhook") > 0;
            spare_is_deleted && world.attio.webhooks().len() == 1
        };
        world.pass_until("it is made, unheard, and made again", HOUR, DAY, done).await;
        a_deletion_is_heard(&world, &app).await;
    }
}

scenario! {
    async fn an_attio_that_refuses_another_one_is_asked_again_tomorrow(setup: Setup) {
        let (world, app) = subscribed(setup).await;
        let last = world.attio.webhooks()[0].webhook_id.clone();
        world.attio.lose_webhook(&last);
        world.attio.configure(|attio| attio.https_webhooks_only = true);
        let gone = async || attio_webhook(&app).await["status"] == "gone";
        world.pass_until("the truth is told", HOUR, DAY, gone).await;
        world.pass_slowly(HOUR, 12).await;
        assert_eq!(world.attio.journal().count("create_webhook"), 2, "asked once more");
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        repaired_at_attio(&world, &last).await;
        a_deletion_is_heard(&world, &app).await;
    }
}
