//! Operations `oauthCallback`, `oauthCallbackAttio` and `connectionAdded` with Attio OAuth: each connection brings its
//! own grant at Attio, by a second consent.

use alc_connector::{
    lifecycle::Lifecycle,
    store::{Key, Kind, Tenant},
};
use reqwest::Method;
use sandbox::{Callback, Fault, Stage};
use serde_json::{Value, json};

use crate::support::{
    ambient::spawn,
    attio_app::{AttioApp, at_attio, authorize_url},
    browser::Browser,
    harness::{DAY, HOUR, MINUTE, Person, Setup, World, scenario},
    http::send,
    settings::REDIRECT_URI,
    stored,
};

/// What the client is told at the end.
async fn error_at_the_client(browser: &mut Browser, callback: &str) -> String {
    let back = browser.visit(callback).await.expect(302);
    assert!(back.location().as_str().starts_with(REDIRECT_URI), "{}", back.location());
    let query = back.location_query();
    assert_eq!(query.get("state").map(String::as_str), Some("attio's state"));
    query.get("error").unwrap_or_else(|| panic!("an error in {query:?}")).clone()
}

async fn nothing_is_granted_any_more(world: &World) {
    let none = async || world.alc.living_grants() == 0 && world.attio.living_grants() == 0;
    world.pass_until("both grants are given back", MINUTE, HOUR, none).await;
}

/// The bearer tokens that a person's record was written with; Attio shows a write before it has answered it.
fn writers(world: &World, person: &Person) -> Vec<String> {
    let written = world.attio.journal().requests("patch_record");
    let of_person =
        written.iter().filter(|seen| seen.path.contains(&person.record_id) && matches!(seen.status, None | Some(200)));
    of_person.map(|seen| seen.headers["authorization"].clone()).collect()
}

async fn status(app: &AttioApp) -> Value {
    app.connection().await.expect(200).json()["status"].clone()
}

scenario! {
    async fn attios_consent_follows_alcs_and_the_connection_holds_both_grants(setup: Setup) {
        let (world, app) = setup.attio_grants().connected().await;
        assert_eq!(status(&app).await, "connected");
        assert_eq!((world.alc.living_grants(), world.attio.living_grants()), (1, 1));
        let asked = &world.attio.journal().requests("authorize")[0];
        assert!(!asked.query.contains("scope"), "{}", asked.query);
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
    }
}

scenario! {
    async fn the_second_state_is_good_once_in_its_own_browser_and_for_attio_only(setup: Setup) {
        let world = setup.attio_grants().start().await;
        let mut browser = world.browser();
        let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        let from_alc = browser.consent(consent.as_str()).await;
        // ALC's state is no state of Attio's, and the other way round.
        browser.visit(&from_alc.replace("/oauth/callback", "/oauth/callback/attio")).await.expect(400);
        let second = browser.visit(&from_alc).await.expect(302).location();
        let from_attio = browser.consent(second.as_str()).await;
        browser.visit(&from_attio.replace("/oauth/callback/attio", "/oauth/callback")).await.expect(400);
        world.browser().visit(&from_attio).await.expect(400);
        let mut replay = world.browser();
        replay.take_cookies_of(&browser);
        let back = browser.visit(&from_attio).await.expect(302);
        assert!(back.location_query().contains_key("code"), "{}", back.location());
        assert_eq!(replay.visit(&from_attio).await.expect(302).location(), back.location());
        world.browser().visit(&from_attio).await.expect(400);
        AttioApp::redeem(&world, &back.location_query()["code"]).await;
        world.pass_slowly(MINUTE * 10, 3).await;
        assert_eq!((world.alc.living_grants(), world.attio.living_grants()), (1, 1), "the replay harmed nothing");
    }
}

scenario! {
    async fn of_many_who_come_back_with_one_state_at_once_one_goes_on(setup: Setup) {
        let world = setup.attio_grants().start().await;
        let mut browser = world.browser();
        let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        let mut callback = browser.consent(consent.as_str()).await;
        // From ALC, and then from Attio.
        for granted in [1, 2] {
            let mut copies: Vec<_> = (0..10).map(|_| world.browser()).collect();
            copies.iter_mut().for_each(|copy| copy.take_cookies_of(&browser));
            let mut late = world.browser();
            late.take_cookies_of(&browser);
            let provider = if granted == 1 { world.alc.faults() } else { world.attio.faults() };
            let hold = provider.hold("token", Stage::Before);
            let visits = copies.iter_mut().map(|copy| copy.visit(&callback));
            let (answers, late) = futures_util::join!(futures_util::future::join_all(visits), async {
                hold.reached(1).await;
                futures_util::join!(late.visit(&callback), async { hold.release() }).0
            });
            // It is one browser to us: each of them hears what the one was told that went on.
            let first = answers[0].location();
            for answer in answers.iter().chain([&late]) {
                assert_eq!(answer.clone().expect(302).location(), first);
            }
            assert_eq!(world.alc.living_grants() + world.attio.living_grants(), granted, "one code, one exchange");
            if granted == 2 {
                assert!(late.location_query().contains_key("code"), "{first}");
                break;
            }
            browser.take_cookies_of(&copies[0]);
            callback = browser.consent(first.as_str()).await;
        }
        assert_eq!((world.alc.journal().count("token"), world.attio.journal().count("token")), (1, 1));
    }
}

scenario! {
    async fn alcs_grant_is_given_back_if_nobody_comes_back_from_attio(setup: Setup) {
        let world = setup.attio_grants().start().await;
        let (mut browser, callback) = at_attio(&world).await;
        assert_eq!(world.alc.living_grants(), 1, "it waits");
        let given_back = async || world.alc.living_grants() == 0;
        world.pass_until("ALC's grant is given back", MINUTE, HOUR, given_back).await;
        browser.visit(&callback).await.expect(400);
    }
}

scenario! {
    async fn an_outage_of_alc_delays_giving_back_only(setup: Setup) {
        let world = setup.attio_grants().impatient().start().await;
        at_attio(&world).await;
        world.alc.faults().always("revoke", Fault::status(503));
        world.pass_slowly(MINUTE * 30, 3).await;
        assert_eq!(world.alc.living_grants(), 1);
        world.alc.faults().clear("revoke");
        let given_back = async || world.alc.living_grants() == 0;
        world.pass_until("ALC's grant is given back", MINUTE * 10, HOUR * 3, given_back).await;
    }
}

scenario! {
    async fn attios_refusal_goes_to_the_client_and_nothing_stays_granted(setup: Setup) {
        let world = setup.attio_grants().start().await;
        let (mut browser, callback) = at_attio(&world).await;
        let state = url::Url::parse(&callback).expect("a URL").query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
        let refused = format!("{}/oauth/callback/attio?error=access_denied&state={state}", world.url());
        assert_eq!(error_at_the_client(&mut browser, &refused).await, "access_denied");
        let none = async || world.alc.living_grants() == 0;
        world.pass_until("ALC's grant is given back at once", MINUTE / 60, MINUTE * 2, none).await;
    }
}

scenario! {
    async fn a_grant_that_proves_no_workspace_connects_nothing(setup: Setup) {
        let world = setup.attio_grants().impatient().start().await;
        let inactive = || Fault::status_with(200, ("x-nothing", "1"), json!({ "active": false }));
        for (operation, fault, error) in [
            ("self", inactive(), "access_denied"),
            ("self", Fault::status(500), "temporarily_unavailable"),
            ("token", Fault::status_with(400, ("x-nothing", "1"), json!({ "error": "invalid_grant" })), "access_denied"),
            ("token", Fault::status(503), "temporarily_unavailable"),
        ] {
            let (mut browser, callback) = at_attio(&world).await;
            world.attio.faults().always(operation, fault);
            assert_eq!(error_at_the_client(&mut browser, &callback).await, error, "{operation}");
            world.attio.faults().clear(operation);
            nothing_is_granted_any_more(&world).await;
        }
    }
}

scenario! {
    async fn what_is_left_under_way_is_given_back(setup: Setup) {
        let world = setup.attio_grants().start().await;
        let (mut browser, callback) = at_attio(&world).await;
        let hold = world.attio.faults().hold("self", Stage::After);
        let coming_back = spawn(async move { browser.visit(&callback).await });
        hold.reached(1).await;
        // As if the process were gone: another replica has to see to the tokens, before the call to Attio times out.
        let none = async || world.alc.living_grants() == 0 && world.attio.living_grants() == 0;
        world.pass_until("both grants are given back", MINUTE / 3, MINUTE * 20, none).await;
        hold.release();
        let back = coming_back.await.expect("an answer").expect(302);
        assert_eq!(back.location_query()["error"], "temporarily_unavailable");
    }
}

scenario! {
    async fn each_workspace_lives_by_its_own_grant(setup: Setup) {
        let (world, one) = setup.attio_grants().connected().await;
        world.attio.configure(|settings| settings.workspace_id = uuid::Uuid::new_v4().to_string());
        let other = world.connect().await;
        let (ada, bob) = (world.person(), world.person());
        one.press(&ada).await.expect(201);
        other.press(&bob).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.shows(&bob, "Pending").await;
        assert_ne!(writers(&world, &ada), writers(&world, &bob));
        other.lead(&ada).await.expect(404);

        one.connection_removed().await.expect(202);
        let gone = async || world.attio.living_grants() == 1 && world.alc.living_grants() == 1;
        world.pass_until("the grants of one are given back", MINUTE, HOUR, gone).await;
        assert_eq!(status(&other).await, "connected");
        world.call_back(&bob, "qualified").await;
        world.shows(&bob, "Complete").await;
    }
}

scenario! {
    async fn a_dead_grant_at_attio_keeps_no_lead_from_alc(setup: Setup) {
        let (world, app) = setup.attio_grants().connected().await;
        world.attio.revoke_grants();
        let (ada, bob, eve) = (world.person(), world.person(), world.person());
        app.press(&ada).await.expect(201);
        let dead = async || status(&app).await == "reauthorization-required";
        world.pass_until("it is known", MINUTE / 20, MINUTE * 5, dead).await;
        for person in [&bob, &eve] {
            assert_eq!(app.press(person).await.expect(201).json()["attio"], "scheduled");
        }
        world.call_back(&bob, "qualified").await;
        world.pass_slowly(HOUR * 6, 8).await;
        let attempts = world.attio.journal().count("patch_record");
        world.pass_slowly(HOUR * 6, 4).await;
        assert_eq!(world.attio.journal().count("patch_record"), attempts, "nobody knocks where nobody opens");
        for (person, status) in [(&ada, "pending"), (&bob, "complete"), (&eve, "pending")] {
            let lead = app.lead(person).await.expect(200).json();
            assert_eq!((&lead["status"], &lead["attio"]), (&json!(status), &json!("scheduled")), "{lead}");
        }

        let again = world.connect().await;
        assert_eq!(status(&again).await, "connected");
        let both = async || {
            [(&ada, "Pending"), (&bob, "Complete"), (&eve, "Pending")]
                .into_iter()
                .all(|(person, title)| world.attio.status(&person.record_id).as_deref() == Some(title))
        };
        world.pass_until("all is shown", MINUTE / 20, MINUTE * 5, both).await;
        assert_eq!(world.attio.living_grants(), 1);
    }
}

scenario! {
    async fn what_came_while_nobody_was_connected_is_shown_after_the_reconnect(setup: Setup) {
        let (world, app) = setup.attio_grants().connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let webhook = world.alc.webhooks()[0].webhook_id.clone();
        app.connection_removed().await.expect(202);
        nothing_is_granted_any_more(&world).await;
        world.tell(Callback::new(&ada.record_id, "qualified").to(&webhook), 200).await;
        world.pass_slowly(DAY, 2).await;
        world.connect().await;
        let shown = async || world.attio.status(&ada.record_id).as_deref() == Some("Complete");
        world.pass_until("the result is shown", MINUTE / 20, MINUTE * 5, shown).await;
    }
}

/// The version under which the store has a person's lead, asked while no replica runs.
async fn version_of(world: &World, workspace: &str, person: &Person) -> u64 {
    let lifecycle = Lifecycle::new();
    let store = stored::open(world, &lifecycle).await;
    let key = Key::new(Kind::Lead, &person.record_id);
    let found = store.load(&Tenant::new(workspace), &[key], &[], world.now()).await.expect("the store answers");
    lifecycle.stop();
    store.close().await;
    found.documents[0].as_ref().expect("a lead").version
}

scenario! {
    async fn a_reconnect_wakes_no_lead_of_which_attio_is_owed_nothing(setup: Setup) {
        let (mut world, app) = setup.attio_grants().connected().await;
        let replicas = world.replicas().len();
        let workspace = app.connection().await.json()["workspace_id"].as_str().expect("an id").to_owned();
        let (ada, bob) = (world.person(), world.person());
        for person in [&ada, &bob] {
            app.press(person).await.expect(201);
            world.shows(person, "Pending").await;
        }
        world.call_back(&bob, "qualified").await;
        world.shows(&bob, "Complete").await;
        world.synced(&app, &bob).await;
        let webhook = world.alc.webhooks()[0].webhook_id.clone();
        app.connection_removed().await.expect(202);
        nothing_is_granted_any_more(&world).await;
        world.tell(Callback::new(&ada.record_id, "qualified").to(&webhook), 200).await;
        world.pass_slowly(DAY, 2).await;
        world.stop().await;
        let before = version_of(&world, &workspace, &bob).await;
        for _ in 0..replicas {
            world.start_replica().await;
        }
        world.connect().await;
        let shown = async || world.attio.status(&ada.record_id).as_deref() == Some("Complete");
        world.pass_until("the result is shown", MINUTE / 20, MINUTE * 5, shown).await;
        world.pass_slowly(MINUTE, 3).await;
        world.stop().await;
        assert_eq!(version_of(&world, &workspace, &bob).await, before, "nothing was written of it");
    }
}

scenario! {
    async fn a_takeover_gives_the_old_grant_back_and_live_leads_go_on(setup: Setup) {
        let (world, old) = setup.attio_grants().connected().await;
        let ada = world.person();
        old.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let webhook = world.alc.webhooks()[0].webhook_id.clone();
        let new = world.connect().await;
        let replaced = async || world.attio.living_grants() == 1 && world.alc.living_grants() == 1;
        world.pass_until("the old grants are given back", MINUTE, HOUR, replaced).await;
        old.connection().await.expect_problem(401, "connection-replaced");
        old.connection_removed().await.expect(202);
        world.pass_slowly(MINUTE * 10, 3).await;
        assert_eq!((world.alc.living_grants(), world.attio.living_grants()), (1, 1), "a late removal harms nothing");
        assert_eq!(status(&new).await, "connected");
        world.tell(Callback::new(&ada.record_id, "qualified").to(&webhook), 200).await;
        world.shows(&ada, "Complete").await;
        let writers = writers(&world, &ada);
        assert_ne!(writers.first(), writers.last(), "shown with the new grant");
    }
}

scenario! {
    async fn a_token_that_the_new_connection_holds_too_stays(setup: Setup) {
        let (world, _old) = setup.attio_grants().connected().await;
        let proof = world.attio.journal().requests("self")[0].headers["authorization"].clone();
        let token = proof.trim_start_matches("Bearer ");
        let again = json!({ "access_token": token, "token_type": "Bearer" });
        world.attio.faults().next("token", Fault::status_with(200, ("content-type", "application/json"), again));
        let new = world.connect().await;
        let replaced = async || world.alc.living_grants() == 1;
        world.pass_until("ALC's old grant is given back", MINUTE, HOUR, replaced).await;
        world.pass_slowly(MINUTE * 10, 3).await;
        assert_eq!(world.attio.journal().count("revoke"), 0);
        let ada = world.person();
        new.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
    }
}

scenario! {
    async fn an_hour_without_connection_added_and_both_grants_are_given_back(setup: Setup) {
        let world = setup.attio_grants().start().await;
        let app = world.authorize().await;
        assert_eq!((world.alc.living_grants(), world.attio.living_grants()), (1, 1));
        world.pass_slowly(MINUTE * 10, 5).await;
        assert_eq!((world.alc.living_grants(), world.attio.living_grants()), (1, 1), "not yet");
        nothing_is_granted_any_more(&world).await;
        let erased = async || app.connection().await.status == 401;
        world.pass_until("its token is good for nothing", MINUTE, HOUR, erased).await;
    }
}

scenario! {
    async fn a_removal_gives_attios_grant_back_when_the_webhook_has_gone(setup: Setup) {
        let (world, app) = setup.attio_grants().connected().await;
        world.attio.faults().times("revoke", 2, Fault::status(500));
        world.alc.faults().times("delete_webhook", 2, Fault::status(500));
        app.connection_removed().await.expect(202);
        nothing_is_granted_any_more(&world).await;
        let ended = async || app.connection().await.status == 401;
        world.pass_until("its tokens are erased", MINUTE, HOUR, ended).await;
        let (deleted, revoked) = (world.alc.journal().requests("delete_webhook"), world.attio.journal().requests("revoke"));
        assert_eq!((deleted.len(), revoked.len()), (3, 3));
        assert!(deleted.iter().all(|one| one.order < revoked[0].order), "{deleted:?} {revoked:?}");
    }
}

scenario! {
    async fn a_grant_that_attio_does_not_know_is_given_back_already(setup: Setup) {
        let (world, app) = setup.attio_grants().connected().await;
        world.attio.faults().next("revoke", Fault::status(404));
        app.connection_removed().await.expect(202);
        let ended = async || app.connection().await.status == 401;
        world.pass_until("it is over", MINUTE, HOUR, ended).await;
        assert_eq!(world.attio.journal().count("revoke"), 1);
    }
}

scenario! {
    async fn a_grant_that_died_before_connection_added_does_not_connect(setup: Setup) {
        let world = setup.attio_grants().start().await;
        let app = world.authorize().await;
        world.attio.revoke_grants();
        app.connection_added().await.expect_problem(422, "connect-refused");
        assert!(world.alc.webhooks().is_empty());
    }
}

scenario! {
    async fn without_attio_oauth_its_callback_leads_nowhere(setup: Setup) {
        let world = setup.start().await;
        let state = "s".repeat(43);
        let url = format!("{}/oauth/callback/attio?code=x&state={state}", world.url());
        send(world.client.request(Method::GET, url)).await.expect(400);
    }
}

scenario! {
    async fn what_a_connection_needs_at_attio_is_made_and_removed_under_its_own_grant(setup: Setup) {
        let world = setup.attio_grants().start().await;
        world.attio.remove_alc_attributes();
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        let app = world.connect().await;
        assert!(world.attio.attributes().iter().any(|attribute| attribute.api_slug == "alc_status"));
        assert_eq!(world.attio.webhooks().len(), 1);
        // The webhook cannot be deleted for a while: the grant that deletes it lives as long.
        world.attio.faults().always("delete_webhook", Fault::status(503));
        app.connection_removed().await.expect(202);
        world.pass_slowly(MINUTE * 10, 3).await;
        assert_eq!((world.attio.webhooks().len(), world.attio.living_grants()), (1, 1));
        world.attio.faults().clear("delete_webhook");
        let gone = async || world.attio.webhooks().is_empty();
        world.pass_until("the webhook goes", MINUTE * 10, DAY, gone).await;
        nothing_is_granted_any_more(&world).await;
    }
}
