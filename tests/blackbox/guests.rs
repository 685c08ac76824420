//! Operations `oauthCallback`, `oauthCallbackAttio` and `token`: what a person may do who has an account at ALC and
//! nothing else. A consent that the client does not redeem changes no workspace, and takes nothing from its leads.

use alc_connector::{
    lifecycle::Lifecycle,
    store::{Key, Kind, Tenant},
};
use sandbox::Stage;

use crate::support::{
    ambient::spawn,
    attio_app::{AttioApp, authorization_code, authorize_url, token_request},
    harness::{HOUR, MINUTE, Setup, World, scenario},
    http::send,
    settings::REDIRECT_URI,
    stored,
};

/// As far as a code of ours, past both consents.
async fn code_past_attio(world: &World) -> String {
    let mut browser = world.browser();
    let consent = browser.visit(&authorize_url(world, &[])).await.expect(302).location();
    let callback = browser.consent(consent.as_str()).await;
    let second = browser.visit(&callback).await.expect(302).location();
    let callback = browser.consent(second.as_str()).await;
    browser.visit(&callback).await.expect(302).location_query()["code"].clone()
}

/// The version of the workspace, how many attempts are kept and how many workspaces, asked while no replica runs.
async fn stored(world: &mut World) -> (Option<u64>, u64, u64) {
    let replicas = world.replicas().len();
    world.stop().await;
    let lifecycle = Lifecycle::new();
    let store = stored::open(world, &lifecycle).await;
    let tenant = Tenant::new(world.attio.workspace_id());
    let found = store.load(&tenant, &[Key::workspace()], &[], world.now()).await.expect("the store answers");
    let depths = store.depths(world.now()).await.expect("the store answers");
    let count = |kind| depths.iter().filter(|depth| depth.kind == kind).map(|depth| depth.count).sum();
    let seen =
        (found.documents[0].as_ref().map(|document| document.version), count(Kind::Attempt), count(Kind::Workspace));
    lifecycle.stop();
    store.close().await;
    for _ in 0..replicas {
        world.start_replica().await;
    }
    seen
}

async fn is_refused(world: &World, code: &str) {
    let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT_URI)];
    let refused = send(token_request(&world.client, &world.url(), &form)).await.expect(400);
    assert_eq!(refused.json()["error"], "invalid_grant");
}

scenario! {
    async fn consents_that_the_client_does_not_redeem_change_no_workspace(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        let (version, _, _) = stored(&mut world).await;
        for _ in 0..7 {
            authorization_code(&world).await;
        }
        world.pass_until("they are given back", MINUTE, HOUR, async || world.alc.living_grants() == 1).await;
        assert_eq!(stored(&mut world).await.0, version, "nothing was written to the workspace");
        assert_eq!(app.connection().await.expect(200).json()["status"], "connected");
    }
}

scenario! {
    async fn consents_of_strangers_take_no_connection_from_connection_added(setup: Setup) {
        let world = setup.start().await;
        let waiting = world.authorize().await;
        let app = world.authorize().await;
        let hold = world.alc.faults().hold("create_webhook", Stage::Before);
        let adding = spawn({
            let app = app.clone();
            async move { app.connection_added().await }
        });
        hold.reached(1).await;
        for _ in 0..7 {
            authorization_code(&world).await;
        }
        assert_eq!(waiting.connection().await.expect(200).json()["status"], "incoming", "it keeps its place");
        hold.release();
        adding.await.expect("an answer").expect(201);
        assert_eq!(app.connection().await.expect(200).json()["status"], "connected");
    }
}

scenario! {
    async fn what_the_client_does_not_redeem_is_given_back_and_worth_nothing(setup: Setup) {
        let mut world = setup.start().await;
        let code = authorization_code(&world).await;
        assert_eq!(world.alc.living_grants(), 1, "it waits");
        assert_eq!(stored(&mut world).await, (None, 1, 0));
        world.pass_until("it is given back", MINUTE, MINUTE * 10, async || world.alc.living_grants() == 0).await;
        is_refused(&world, &code).await;
        world.pass_slowly(MINUTE, 15).await;
        assert_eq!(stored(&mut world).await, (None, 0, 0), "and nothing of it is left");
    }
}

scenario! {
    async fn both_grants_wait_for_the_client_and_are_given_back(setup: Setup) {
        let mut world = setup.attio_grants().start().await;
        let code = code_past_attio(&world).await;
        assert_eq!((world.alc.living_grants(), world.attio.living_grants()), (1, 1), "they wait");
        // Both states of this attempt: the one that was used, and the one under which the grants wait.
        assert_eq!(stored(&mut world).await, (None, 2, 0));
        let app = AttioApp::redeem(&world, &code).await;
        app.connection_added().await.expect(201);
        world.pass_slowly(MINUTE, 15).await;
        assert_eq!((world.alc.living_grants(), world.attio.living_grants()), (1, 1));
        assert_eq!(app.connection().await.expect(200).json()["status"], "connected");

        let late = code_past_attio(&world).await;
        let given_back = async || world.alc.living_grants() == 1 && world.attio.living_grants() == 1;
        world.pass_until("both are given back", MINUTE, MINUTE * 10, given_back).await;
        is_refused(&world, &late).await;
        assert_eq!(app.connection().await.expect(200).json()["status"], "connected");
    }
}

scenario! {
    async fn refused_consents_leave_no_mark(setup: Setup) {
        let mut world = setup.start().await;
        for error in ["access_denied", "server_error"] {
            let mut browser = world.browser();
            let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
            let state = consent.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
            let refused = format!("{}/oauth/callback?error={error}&state={state}", world.url());
            for _ in 0..2 {
                assert_eq!(browser.visit(&refused).await.expect(302).location_query()["error"], error);
            }
        }
        assert_eq!(stored(&mut world).await, (None, 0, 0));
    }
}

scenario! {
    async fn made_up_codes_cost_attio_nothing_and_alc_only_so_many_calls(setup: Setup) {
        let world = setup.start().await;
        let (mut limited, mut first) = (None, None);
        for _ in 0..200 {
            let mut browser = world.browser();
            let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
            let state = consent.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
            let callback = format!("{}/oauth/callback?code=bogus&state={state}", world.url());
            let answer = browser.visit(&callback).await;
            if answer.status == 429 {
                limited = Some(answer);
                break;
            }
            assert_eq!(answer.expect(302).location_query()["error"], "access_denied");
            first.get_or_insert((browser, callback));
        }
        let (mut browser, callback) = first.expect("at least one was let through");
        let again = browser.visit(&callback).await.expect(302);
        assert_eq!(again.location_query()["error"], "access_denied", "a repeat costs nothing, and takes no turn");
        let limited = limited.expect("not for ever");
        assert!(limited.header("retry-after").is_some());
        // Each process asks once, at its start, whose the key is.
        assert!(world.attio.journal().count("self") <= world.replicas().len());
    }
}

scenario! {
    async fn attempts_take_a_quarter_of_the_workers_at_most(setup: Setup) {
        let world = setup.with("ALC__TIMEOUT", "12s").start().await;
        let replicas = world.replicas().len();
        for _ in 0..12 * replicas {
            authorization_code(&world).await;
        }
        let hold = world.alc.faults().hold("revoke", Stage::Before);
        world.pass(MINUTE * 6).await;
        // One replica may have leased them all, and put off those for which it had no seat. The other one, which has
        // just seen them leased, looks again within a second.
        let all_seats = async || {
            let have_all = world.alc.journal().count("revoke") == 8 * replicas;
            tokio::time::sleep(std::time::Duration::from_millis(if have_all { 0 } else { 200 })).await;
            have_all
        };
        world.pass_until("each replica has its share", MINUTE / 12, MINUTE * 2, all_seats).await;
        for _ in 0..3 {
            world.pass(MINUTE / 12).await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            assert_eq!(world.alc.journal().count("revoke"), 8 * replicas, "the others wait for a seat");
        }
        hold.release();
        let given_back = async || world.alc.living_grants() == 0;
        world.pass_until("all are given back", MINUTE / 12, HOUR, given_back).await;
    }
}
