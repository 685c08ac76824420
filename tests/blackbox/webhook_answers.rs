//! Operation `connectionAdded` when ALC's or Attio's answer to the creation of a webhook is odd: its secret, or all of
//! it.

use sandbox::{Fault, alc::SecretForm};
use serde_json::json;

use crate::support::{
    attio_app::AttioApp,
    harness::{HOUR, MINUTE, Setup, World, scenario},
};

/// The button works, and what ALC found out comes through.
async fn it_works(world: &World, app: &AttioApp) {
    let ada = world.person();
    app.press(&ada).await.expect(201);
    world.call_back(&ada, "qualified").await;
    world.shows(&ada, "Complete").await;
}

scenario! {
    async fn a_secret_is_read_in_the_alphabet_of_urls_and_with_loose_bits(setup: Setup) {
        let world = setup.start().await;
        for form in [SecretForm::Standard, SecretForm::UrlSafe, SecretForm::LooseBits, SecretForm::Versioned] {
            world.alc.configure(|alc| alc.secret_form = form);
            // Some keys have none of the characters in which the alphabets differ.
            for _ in 0..3 {
                let app = world.connect().await;
                it_works(&world, &app).await;
            }
        }
    }
}

scenario! {
    async fn a_secret_that_is_no_key_is_refused_by_name_and_its_webhook_removed(setup: Setup) {
        let world = setup.start().await;
        for form in [SecretForm::NoKey, SecretForm::Empty] {
            world.alc.configure(|alc| alc.secret_form = form);
            let app = world.authorize().await;
            let refused = app.connection_added().await.expect_problem(422, "connect-refused");
            let detail = refused.json()["detail"].as_str().expect("a detail").to_owned();
            assert!(detail.contains("secret") && detail.contains("ALC__WEBHOOK_SIGNATURE"), "{detail}");
            let removed = async || world.alc.webhooks().is_empty();
            world.pass_until("it is removed at ALC", MINUTE, HOUR, removed).await;
        }
        assert_eq!(world.alc.all_webhooks().len(), 2);
    }
}

scenario! {
    async fn a_secret_that_is_not_needed_may_be_anything(setup: Setup) {
        let setup = setup.with("ALC__WEBHOOK_SIGNATURE", "off").alc(|alc| alc.secret_form = SecretForm::NoKey);
        let (world, app) = setup.connected().await;
        it_works(&world, &app).await;
    }
}

/// Answers of 2xx that say nothing of what was made.
fn unreadable() -> [Fault; 4] {
    [
        Fault::Garbage,
        Fault::Truncated,
        Fault::DoneBut { status: 200, body: json!("<html><body>Created</body></html>") },
        Fault::DoneBut { status: 202, body: json!("OK") },
    ]
}

async fn one_is_left(world: &World) {
    let one = async || world.alc.webhooks().len() == 1;
    world.pass_until("one webhook is left at ALC", MINUTE, HOUR, one).await;
}

scenario! {
    async fn what_alc_made_with_an_unreadable_answer_is_looked_for_and_removed(setup: Setup) {
        let (world, mut app) = setup.connected().await;
        for fault in unreadable() {
            let before = world.alc.all_webhooks().len();
            world.alc.faults().next("create_webhook", fault);
            app = world.connect().await;
            assert_eq!(world.alc.all_webhooks().len(), before + 2, "another one was made, whose secret is known");
            one_is_left(&world).await;
        }
        it_works(&world, &app).await;
    }
}

scenario! {
    async fn an_empty_answer_says_that_it_was_made(setup: Setup) {
        let world = setup.start().await;
        world.alc.faults().next("create_webhook", Fault::DoneBut { status: 201, body: json!("") });
        let app = world.connect().await;
        assert_eq!(world.alc.all_webhooks().len(), 1, "it is found in ALC's list");
        it_works(&world, &app).await;
        app.connection_removed().await.expect(202);
        let none = async || world.alc.webhooks().is_empty();
        world.pass_until("it is removed with its connection", MINUTE, HOUR, none).await;
    }
}

scenario! {
    async fn a_connect_whose_every_webhook_was_made_unreadably_leaves_none(setup: Setup) {
        let world = setup.start().await;
        world.alc.faults().always("create_webhook", Fault::Garbage);
        let app = world.authorize().await;
        app.connection_added().await.expect_problem(502, "upstream-failed");
        assert!(!world.alc.webhooks().is_empty());
        let none = async || world.alc.webhooks().is_empty();
        world.pass_until("none is left at ALC", MINUTE, HOUR, none).await;
        world.alc.faults().clear("create_webhook");
        app.connection_added().await.expect(201);
        it_works(&world, &app).await;
    }
}

scenario! {
    async fn an_alc_that_lists_nothing_and_answers_unreadably_is_believed_to_have_made_it(setup: Setup) {
        let world = setup.minimal_alc().start().await;
        for fault in unreadable() {
            world.alc.faults().next("create_webhook", fault);
            let app = world.connect().await;
            it_works(&world, &app).await;
        }
    }
}

scenario! {
    async fn what_attio_made_with_an_unreadable_answer_is_looked_for_and_removed(setup: Setup) {
        let world = setup.start().await;
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        let secretless = Fault::DoneBut { status: 200, body: json!({ "data": { "id": { "webhook_id": "w" } } }) };
        for fault in unreadable().into_iter().chain([secretless]) {
            world.attio.faults().next("create_webhook", fault);
            let app = world.connect().await;
            let one = async || world.attio.webhooks().len() == 1;
            world.pass_until("one webhook is left at Attio", MINUTE, HOUR, one).await;
            let ada = world.person();
            app.press(&ada).await.expect(201);
        }
    }
}
