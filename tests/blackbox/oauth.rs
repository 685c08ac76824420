//! Operations `authorize`, `token`, `revoke`, `authorizationServerMetadata` and `jwks`: the authorization server
//! towards Attio.

use std::time::Duration;

use sandbox::{Fault, alc::Consent};

use crate::support::{
    attio_app::{authorization_code, authorize_url, token_request},
    harness::{HOUR, MINUTE, Setup, World, scenario},
    http::{Answer, send},
    settings::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI},
};

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

async fn exchange(world: &World, code: &str, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT_URI)];
    form.extend_from_slice(more);
    send(token_request(&world.client, &world.url(), &form)).await
}

async fn refresh(world: &World, token: &str) -> Answer {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    send(token_request(&world.client, &world.url(), &form)).await
}

scenario! {
    async fn a_bad_client_or_redirect_uri_is_a_page_and_never_a_redirect(setup: Setup) {
        let world = setup.start().await;
        let good = authorize_url(&world, &[]);
        for bad in [good.replace(CLIENT_ID, "somebody"), good.replace("callback", "elsewhere")] {
            world.browser().visit(&bad).await.expect(400);
        }
    }
}

scenario! {
    async fn every_other_fault_goes_back_to_the_client(setup: Setup) {
        let world = setup.start().await;
        let good = authorize_url(&world, &[]);
        let long = "x".repeat(2001);
        for (bad, error) in [
            (good.replace("response_type=code", "response_type=token"), "unsupported_response_type"),
            (good.replace("attio%27s+state", &long), "invalid_request"),
            (format!("{good}&code_challenge={CHALLENGE}&code_challenge_method=plain"), "invalid_request"),
        ] {
            let back = world.browser().visit(&bad).await.expect(302);
            assert!(back.location().as_str().starts_with(REDIRECT_URI), "{}", back.location());
            assert_eq!(back.location_query()["error"], error, "{bad}");
        }
    }
}

scenario! {
    async fn alcs_refusal_goes_to_the_client_with_its_state(setup: Setup) {
        let world = setup.alc(|alc| alc.consent = Consent::Deny).start().await;
        let mut browser = world.browser();
        let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        let callback = browser.consent(consent.as_str()).await;
        let query = browser.visit(&callback).await.expect(302).location_query();
        assert_eq!((query["error"].as_str(), query["state"].as_str()), ("access_denied", "attio's state"));
    }
}

scenario! {
    async fn the_state_is_good_once_and_in_its_own_browser_only(setup: Setup) {
        let world = setup.start().await;
        let mut browser = world.browser();
        let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        let callback = browser.consent(consent.as_str()).await;
        world.browser().visit(&callback).await.expect(400);
        browser.visit(&format!("{}/oauth/callback?code=x", world.url())).await.expect(400);
        let mut replay = world.browser();
        replay.take_cookies_of(&browser);
        let first = browser.visit(&callback).await.expect(302).location();
        // The same browser is told the same again; it has begun no other attempt by that.
        for browser in [&mut browser, &mut replay] {
            assert_eq!(browser.visit(&callback).await.expect(302).location(), first);
            browser.visit(&format!("{callback}x")).await.expect(400);
        }
        assert_eq!(world.alc.journal().count("token"), 1);
        world.browser().visit(&callback).await.expect(400);
        world.pass(Duration::from_secs(61)).await;
        browser.visit(&callback).await.expect(400);
    }
}

scenario! {
    async fn a_state_is_good_for_ten_minutes(setup: Setup) {
        let world = setup.start().await;
        let mut browser = world.browser();
        let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        let callback = browser.consent(consent.as_str()).await;
        world.pass(Duration::from_secs(601)).await;
        browser.visit(&callback).await.expect(400);
    }
}

scenario! {
    async fn another_host_is_sent_to_the_public_one_first(setup: Setup) {
        let world = setup.start().await;
        let url = authorize_url(&world, &[]);
        let request = world.client.get(&url).header("host", "somewhere.example");
        let location = send(request).await.expect(302).location();
        assert!(location.as_str().starts_with(&url), "{location}");
    }
}

scenario! {
    async fn a_code_is_good_once_and_a_second_use_revokes_what_it_gave(setup: Setup) {
        let world = setup.start().await;
        let code = authorization_code(&world).await;
        let tokens = exchange(&world, &code, &[]).await.expect(200).json();
        assert_eq!(exchange(&world, &code, &[]).await.expect(400).json()["error"], "invalid_grant");
        let given = tokens["refresh_token"].as_str().expect("a token");
        assert_eq!(refresh(&world, given).await.expect(400).json()["error"], "invalid_grant");
    }
}

scenario! {
    async fn a_code_is_good_for_sixty_seconds_and_for_its_redirect_uri(setup: Setup) {
        let world = setup.start().await;
        let late = authorization_code(&world).await;
        world.pass(Duration::from_secs(61)).await;
        assert_eq!(exchange(&world, &late, &[]).await.expect(400).json()["error"], "invalid_grant");
        let code = authorization_code(&world).await;
        let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", "https://x.example")];
        let refused = send(token_request(&world.client, &world.url(), &form)).await.expect(400);
        assert_eq!(refused.json()["error"], "invalid_grant");
    }
}

scenario! {
    async fn a_challenge_has_to_be_met(setup: Setup) {
        let world = setup.start().await;
        for (verifier, status) in [(Some(VERIFIER), 200), (Some("x".repeat(43).as_str()), 400), (None, 400)] {
            let mut browser = world.browser();
            let pkce = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
            let consent = browser.visit(&authorize_url(&world, &pkce)).await.expect(302).location();
            let callback = browser.consent(consent.as_str()).await;
            let code = browser.visit(&callback).await.expect(302).location_query()["code"].clone();
            let more: Vec<_> = verifier.map(|verifier| ("code_verifier", verifier)).into_iter().collect();
            exchange(&world, &code, &more).await.expect(status);
        }
    }
}

scenario! {
    async fn the_client_proves_itself_by_basic_or_in_the_body(setup: Setup) {
        let world = setup.start().await;
        let code = authorization_code(&world).await;
        let url = format!("{}/oauth/token", world.url());
        let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", REDIRECT_URI)];
        send(world.client.post(&url).form(&form)).await.expect(401);
        send(world.client.post(&url).basic_auth(CLIENT_ID, Some("wrong")).form(&form)).await.expect(401);
        let mut body = form.to_vec();
        body.extend([("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]);
        send(world.client.post(&url).form(&body)).await.expect(200);
    }
}

scenario! {
    async fn refresh_tokens_are_not_rotated_and_access_tokens_last_an_hour(setup: Setup) {
        let (world, app) = setup.connected().await;
        let old = app.access_token();
        world.pass(Duration::from_secs(3601)).await;
        let request = world.client.get(format!("{}/v1/connection", world.url())).bearer_auth(&old);
        send(request).await.expect_problem(401, "unauthorized");
        for _ in 0..2 {
            let tokens = app.refresh().await.expect(200).json();
            assert_eq!(tokens["refresh_token"], app.refresh_token.as_str());
        }
        app.connection().await.expect(200);
    }
}

scenario! {
    async fn other_grants_are_not_supported(setup: Setup) {
        let world = setup.start().await;
        let form = [("grant_type", "password")];
        let refused = send(token_request(&world.client, &world.url(), &form)).await.expect(400);
        assert_eq!(refused.json()["error"], "unsupported_grant_type");
        assert_eq!(refresh(&world, "nobody.nothing").await.expect(400).json()["error"], "invalid_grant");
    }
}

scenario! {
    async fn a_second_workspace_is_refused(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        let other = world.attio.add_token(&uuid::Uuid::new_v4().to_string());
        world.settings.set("ATTIO__API_KEY", &other);
        world.restart().await;
        let mut browser = world.browser();
        let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        let callback = browser.consent(consent.as_str()).await;
        let query = browser.visit(&callback).await.expect(302).location_query();
        assert_eq!(query["error"], "access_denied");
        // The first one's leads go to ALC all the same; nothing is shown in Attio until its key is put back.
        let waits = async || app.connection().await.expect(200).json()["status"] == "reauthorization-required";
        world.pass_until("the first one waits for its key", MINUTE, HOUR, waits).await;
        app.press(&world.person()).await.expect(201);
    }
}

scenario! {
    async fn what_a_refused_workspace_was_granted_is_given_back_after_an_outage(setup: Setup) {
        let (mut world, _app) = setup.connected().await;
        let other = world.attio.add_token(&uuid::Uuid::new_v4().to_string());
        world.settings.set("ATTIO__API_KEY", &other);
        world.restart().await;
        world.alc.faults().always("revoke", Fault::status(503));
        let mut browser = world.browser();
        let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        let callback = browser.consent(consent.as_str()).await;
        assert_eq!(browser.visit(&callback).await.expect(302).location_query()["error"], "access_denied");
        let tried = async || world.alc.journal().count("revoke") >= 3;
        world.pass_until("giving back is tried", MINUTE * 10, HOUR * 2, tried).await;
        assert_eq!(world.alc.living_grants(), 2);
        world.alc.faults().clear("revoke");
        let given_back = async || world.alc.living_grants() == 1;
        world.pass_until("it is given back", MINUTE * 10, HOUR * 3, given_back).await;
    }
}
