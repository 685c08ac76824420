//! Operation `connectionAdded`: a workspace that connects again takes over from its connection.

use sandbox::{Callback, Fault};
use serde_json::json;

use crate::support::{
    attio_app::every_other_request,
    harness::{HOUR, MINUTE, Setup, scenario},
    http::send,
};

scenario! {
    async fn live_leads_go_on_with_the_new_tokens(setup: Setup) {
        let (world, old) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.faults().always("create_lead", Fault::status_with(429, ("retry-after", "3600"), json!(null)));
        old.press(&ada).await.expect(202);
        world.alc.faults().clear("create_lead");
        world.pass_slowly(MINUTE * 10, 3).await;
        let new = world.connect().await;
        assert_eq!(new.lead_says(&ada, "status").await, "queued", "it still waits, as ALC has asked");
        let out = async || new.lead_says(&ada, "status").await == "pending";
        world.pass_until("it goes out", MINUTE, HOUR, out).await;
        let requests = world.alc.journal().requests("create_lead");
        let tokens: Vec<_> = requests.iter().map(|seen| &seen.headers["authorization"]).collect();
        assert_eq!(tokens.len(), 2);
        assert_ne!(tokens[0], tokens[1], "the old token has gone with its connection");
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn the_old_webhook_goes_and_its_url_answers_until_its_leads_have_finished(setup: Setup) {
        let (world, old) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        old.press(&ada).await.expect(201);
        old.press(&bob).await.expect(201);
        let webhook = world.alc.webhooks()[0].webhook_id.clone();
        world.connect().await;
        let replaced = async || world.alc.webhooks().iter().all(|standing| standing.webhook_id != webhook);
        world.pass_until("the old webhook is gone", MINUTE, HOUR, replaced).await;
        assert_eq!(world.alc.webhooks().len(), 1);

        world.tell(Callback::new(&ada.record_id, "qualified").to(&webhook), 200).await;
        world.shows(&ada, "Complete").await;
        world.tell(Callback::new(&bob.record_id, "unqualified").to(&webhook), 200).await;
        world.shows(&bob, "Complete").await;
        world.pass_slowly(HOUR, 2).await;
        world.tell(Callback::new(&bob.record_id, "unqualified").to(&webhook), 410).await;
    }
}

scenario! {
    async fn a_lead_is_called_back_through_the_webhook_that_it_was_sent_under(setup: Setup) {
        let (world, first) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.faults().always("create_lead", Fault::status(429));
        first.press(&ada).await.expect(202);
        world.alc.faults().clear("create_lead");
        let second = world.connect().await;
        let out = async || second.lead_says(&ada, "status").await == "pending";
        world.pass_until("it goes out", MINUTE, HOUR, out).await;
        let one = async || world.alc.webhooks().len() == 1;
        world.pass_until("the first webhook is gone", MINUTE, HOUR, one).await;
        let webhook = world.alc.webhooks()[0].webhook_id.clone();
        world.connect().await;
        world.pass_slowly(HOUR, 2).await;
        world.tell(Callback::new(&ada.record_id, "qualified").to(&webhook), 200).await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn the_old_token_is_told_that_it_was_replaced(setup: Setup) {
        let (world, old) = setup.connected().await;
        let ada = world.person();
        old.press_with_key(&ada, "k").await.expect(201);
        let new = world.connect().await;
        old.connection().await.expect_problem(401, "connection-replaced");
        old.press(&world.person()).await.expect_problem(401, "connection-replaced");
        old.connection_added().await.expect_problem(401, "connection-replaced");
        // Nor does it learn what the workspace has sent, or what a key of its own has made.
        old.press_with_key(&ada, "k").await.expect_problem(401, "connection-replaced");
        old.lead(&ada).await.expect_problem(401, "connection-replaced");
        for request in every_other_request(&old, &ada) {
            send(request).await.expect_problem(401, "connection-replaced");
        }
        new.press(&world.person()).await.expect(201);
    }
}

scenario! {
    async fn a_replaced_connection_only_cleans_up_after_itself(setup: Setup) {
        let (world, old) = setup.connected().await;
        let new = world.connect().await;
        old.connection_removed().await.expect(202);
        world.pass_slowly(MINUTE * 10, 4).await;
        assert_eq!(new.connection().await.json()["status"], "connected");
        assert_eq!(world.alc.webhooks().len(), 1);
        assert_eq!(world.alc.living_grants(), 1, "the old grant was given back, the new one stands");
        let ada = world.person();
        new.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn an_incoming_connection_takes_nothing_over_yet(setup: Setup) {
        let (world, old) = setup.connected().await;
        let incoming = world.authorize().await;
        assert_eq!(incoming.connection().await.json()["status"], "incoming");
        old.press(&world.person()).await.expect(201);
    }
}

scenario! {
    async fn a_takeover_that_fails_leaves_the_old_connection_at_work(setup: Setup) {
        let (world, old) = setup.connected().await;
        let new = world.authorize().await;
        world.alc.faults().next("create_webhook", Fault::status(403));
        new.connection_added().await.expect(422);
        let ada = world.person();
        old.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        assert_eq!(world.alc.webhooks().len(), 1);
    }
}

scenario! {
    async fn at_most_five_connections_wait_and_the_oldest_gives_way(setup: Setup) {
        let world = setup.start().await;
        let first = world.authorize().await;
        for _ in 0..5 {
            world.authorize().await;
        }
        let gone = async || world.alc.living_grants() == 5;
        world.pass_until("the oldest grant is given back", MINUTE, MINUTE * 10, gone).await;
        let over = async || first.connection().await.status == 401;
        // Sooner than it expires by itself.
        world.pass_until("its token is good for nothing", MINUTE, HOUR / 2, over).await;
        let body = json!({ "connection": { "id": "x", "ownedBy": { "type": "workspace", "id": world.attio.workspace_id() } } });
        let request = first.request(reqwest::Method::POST, "/v1/events/connection-added").json(&body);
        assert_eq!(send(request).await.status, 401);
    }
}
