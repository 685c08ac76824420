//! The OAuth endpoints over their real floors. Each attack is a test that it fails.

mod browser;
mod redemption;
mod world;

use std::time::Duration;

use actix_web::{http::header, test::TestRequest};
use aws_lc_rs::digest;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use mockito::Matcher;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::form_urlencoded;

use self::world::*;
use crate::{
    ids::{WorkspaceId, random_uuid},
    store::{Key, Kind, LeaseRequest, Tenant},
};

/// What the reconciler does with attempts.
async fn reconcile(world: &World) {
    let request = LeaseRequest::up_to(9, Duration::from_secs(30));
    let leased = world.store.lease_due(&request, world.now()).await.expect("leases").leased;
    for leased in leased.into_iter().filter(|leased| leased.key.kind == Kind::Attempt) {
        world.authorization.reconcile(leased).await.expect("reconciles");
    }
}

#[actix_web::test]
async fn from_the_button_to_tokens_and_back() {
    let mut world = World::new().await;
    let (alc, _attio) = world.upstreams().await;
    alc.remove_async().await;
    let tab = world.begin(&[("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]).await;

    // Exactly one exchange, with the verifier that fits our challenge.
    let challenge = tab.challenge.clone();
    let fits = move |request: &mockito::Request| {
        let body = request.utf8_lossy_body().expect("a body").into_owned();
        let sent =
            form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "code_verifier").expect("a verifier");
        challenge == URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, sent.1.as_bytes()))
    };
    let exchange = world.alc.mock("POST", "/token").match_request(fits).expect(1);
    let body = r#"{"access_token":"alc-a","token_type":"Bearer","refresh_token":"alc-r"}"#;
    let exchange = exchange.with_header("content-type", "application/json").with_body(body).create_async().await;

    let answer = world.back(&tab, "code=alc-code").await;
    exchange.assert_async().await;
    let location = answer.location();
    assert!(location.as_str().starts_with(&format!("{REDIRECT_URI}&")), "{location}");
    assert_eq!(param(&location, "state").as_deref(), Some(CLIENT_STATE));
    assert_eq!(param(&location, "iss").as_deref(), Some(ISSUER));
    assert!(answer.header(header::SET_COOKIE).expect("a cookie").contains("Max-Age=60"));
    let code = param(&location, "code").expect("a code");

    let granted = world.redeem(&code, &[REDIRECT, ("code_verifier", VERIFIER)]).await;
    assert_eq!(granted.status, 200, "{}", granted.body);
    assert_eq!(granted.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(granted.header(header::PRAGMA), Some("no-cache"));
    let granted = granted.json();
    assert_eq!((&granted["token_type"], &granted["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let who = world.bearer("/who", text(&granted, "access_token")).await;
    assert!(who.body.starts_with(&world.workspace.to_string()), "{}", who.body);

    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(world.bearer("/who", text(&granted, "access_token")).await.status, 401);
    assert_eq!(world.bearer("/whoever", text(&granted, "access_token")).await.body, who.body);
    let renewed = world.refresh(text(&granted, "refresh_token")).await.json();
    assert_eq!(renewed["refresh_token"], granted["refresh_token"]);
    assert_eq!(world.bearer("/who", text(&renewed, "access_token")).await.body, who.body);

    let revoke = world.post("/oauth/revoke", &[("token", text(&renewed, "access_token"))]).await;
    assert_eq!(revoke.error(), (400, "unsupported_token_type".to_owned()));
    for _ in 0..2 {
        let revoked = world.post("/oauth/revoke", &[("token", text(&granted, "refresh_token"))]).await;
        assert_eq!((revoked.status.as_u16(), revoked.body.as_str()), (200, "{}"));
    }
    assert_eq!(world.refresh(text(&granted, "refresh_token")).await.error(), (400, "invalid_grant".to_owned()));
    for unknown in ["nonsense", "a.b", &format!("{}.x", random_uuid())] {
        assert_eq!(world.post("/oauth/revoke", &[("token", unknown)]).await.status, 200);
    }
    assert_eq!(world.post("/oauth/revoke", &[]).await.error(), (400, "invalid_request".to_owned()));
}

#[actix_web::test]
async fn a_state_is_good_in_the_browser_that_began_and_once() {
    let mut world = World::new().await;
    let (_alc, _attio) = world.upstreams().await;
    let never = world.alc.mock("POST", "/token").expect(0).create_async().await;
    let (tab, other) = (world.begin(&[]).await, world.begin(&[]).await);
    let state = &tab.state;
    for (query, cookie) in [
        ("code=alc-code".to_owned(), Some(tab.cookie.as_str())),
        ("state=&code=alc-code".to_owned(), Some(&tab.cookie)),
        ("state=nonsense&code=alc-code".to_owned(), Some(&tab.cookie)),
        (format!("state={state}&state={state}&code=alc-code"), Some(&tab.cookie)),
        (format!("state={state}&code=alc-code"), None),
        (format!("state={state}&code=alc-code"), Some(&other.cookie)),
        (format!("state={state}&error=access_denied"), Some(&other.cookie)),
        (format!("state={}&code=alc-code", "A".repeat(43)), Some(&tab.cookie)),
    ] {
        world.get(&format!("/oauth/callback?{query}"), cookie).await.is_page(400);
    }
    never.assert_async().await;
    never.remove_async().await;

    // None of that used it up; of two that come at once, one is taken, and both have its answer.
    let (one, two) = tokio::join!(world.back(&tab, "code=alc-code"), world.back(&tab, "code=alc-code"));
    assert!(param(&one.location(), "code").is_some());
    assert_eq!(one.location(), two.location());
    world.back(&tab, "code=another-code").await.is_page(400);

    // The other tab is not disturbed; both cookies come along, and one of another service that knows nothing of ASCII.
    let both = format!("name=Zoë; {}; {}", tab.cookie, other.cookie);
    let answer = world.get(&format!("/oauth/callback?state={}&code=alc-code", other.state), Some(&both)).await;
    assert!(param(&answer.location(), "code").is_some());

    let late = world.begin(&[]).await;
    world.clock.advance(Duration::from_secs(600));
    world.back(&late, "code=alc-code").await.is_page(400);
}

#[actix_web::test]
async fn a_used_state_is_remembered_until_its_cookie_is_long_dead_and_then_forgotten() {
    let mut world = World::new().await;
    let _refused = world.alc_answers(400, r#"{"error":"invalid_grant"}"#).await;
    let tab = world.begin(&[]).await;
    world.back(&tab, "code=made-up").await.location();
    let tenant = Tenant::new(&tab.state);
    let key = Key::new(Kind::Attempt, &tab.state);
    let there = async || {
        let loaded = world.store.load(&tenant, std::slice::from_ref(&key), &[], world.now()).await.expect("loads");
        loaded.documents[0].is_some()
    };
    world.clock.advance(Duration::from_secs(600));
    // Woken early, it stays.
    world.store.wake(&tenant, Kind::Attempt, &["used"], Duration::ZERO, world.now()).await.expect("wakes");
    reconcile(&world).await;
    assert!(there().await);
    world.clock.advance(Duration::from_secs(60));
    reconcile(&world).await;
    assert!(!there().await);
    world.back(&tab, "code=made-up").await.is_page(400);
}

#[actix_web::test]
async fn a_refusal_leaves_nothing_in_the_store() {
    let mut world = World::new().await;
    let (_alc, _attio) = world.upstreams().await;
    let tab = world.begin(&[]).await;
    for said in ["error=access_denied", "error=a&error=b", ""] {
        assert!(param(&world.back(&tab, said).await.location(), "error").is_some());
        assert_eq!(world.store.depths(world.now()).await.expect("answers"), [], "{said}");
    }
    // A person who changes their mind on ALC's page has lost nothing by that.
    assert!(param(&world.back(&tab, "code=alc-code").await.location(), "code").is_some());
}

#[actix_web::test]
async fn what_alc_says_instead_of_a_code_goes_to_the_client() {
    let world = World::new().await;
    for (said, told) in [
        ("error=access_denied&error_description=%3Cb%3Eno", "access_denied"),
        ("error=invalid_scope&code=alc-code", "invalid_scope"),
        ("error=%22%3E%3Cscript%3E", "server_error"),
        ("error=a&error=b", "server_error"),
        ("code=a&code=b", "server_error"),
        ("", "server_error"),
    ] {
        let tab = world.begin(&[]).await;
        let location = world.back(&tab, said).await.location();
        assert!(location.as_str().starts_with(&format!("{REDIRECT_URI}&")), "{location}");
        assert_eq!(param(&location, "error").as_deref(), Some(told));
        assert_eq!(param(&location, "state").as_deref(), Some(CLIENT_STATE));
        assert_eq!(param(&location, "iss").as_deref(), Some(ISSUER));
        assert_eq!(param(&location, "code"), None);
    }
}

#[actix_web::test]
async fn an_exchange_that_fails_goes_back_as_an_error() {
    let mut world = World::new().await;
    let (good, _attio) = world.upstreams().await;
    good.remove_async().await;
    let huge = format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, "a".repeat(4 << 20));
    for (status, body, told) in [
        (400, r#"{"error":"invalid_grant"}"#, "access_denied"),
        (401, r#"{"error":"invalid_client"}"#, "server_error"),
        (500, "", "temporarily_unavailable"),
        (302, "", "temporarily_unavailable"),
        (200, "<html>", "temporarily_unavailable"),
        (200, "{}", "temporarily_unavailable"),
        (200, &huge, "temporarily_unavailable"),
    ] {
        let mock = world.alc_answers(status, body).await;
        let tab = world.begin(&[]).await;
        let location = world.back(&tab, "code=alc-code").await.location();
        assert_eq!(param(&location, "error").as_deref(), Some(told), "{status}");
        assert_eq!(param(&location, "state").as_deref(), Some(CLIENT_STATE));
        mock.assert_async().await;
        mock.remove_async().await;
    }
}

#[actix_web::test]
async fn a_person_whom_alc_does_not_know_makes_nobody_ask_attio() {
    let mut world = World::new().await;
    let (good, attio) = world.upstreams().await;
    good.remove_async().await;
    attio.remove_async().await;
    let never = world.attio.mock("GET", "/v2/self").expect(0).create_async().await;
    for (status, body) in [(400, r#"{"error":"invalid_grant"}"#), (500, "")] {
        let mock = world.alc_answers(status, body).await;
        let tab = world.begin(&[]).await;
        assert!(param(&world.back(&tab, "code=made-up").await.location(), "error").is_some());
        mock.remove_async().await;
    }
    never.assert_async().await;
}

#[actix_web::test]
async fn what_alc_granted_for_no_workspace_is_given_back_whatever_attio_answers() {
    let mut world = World::new().await;
    let (_alc, attio) = world.upstreams().await;
    attio.remove_async().await;
    let revoked = world.alc.mock("POST", "/revoke").expect_at_least(3).create_async().await;
    for (status, body, told) in [
        (200, r#"{"active":false}"#, "server_error"),
        (403, "{}", "server_error"),
        (502, "", "temporarily_unavailable"),
    ] {
        let mock = world.attio.mock("GET", "/v2/self").with_status(status).with_body(body).create_async().await;
        let tab = world.begin(&[]).await;
        let location = world.back(&tab, "code=alc-code").await.location();
        assert_eq!(param(&location, "error").as_deref(), Some(told), "{status}");
        reconcile(&world).await;
        mock.remove_async().await;
    }
    revoked.assert_async().await;
}

#[actix_web::test]
async fn codes_that_browsers_make_up_are_exchanged_for_so_long_only() {
    let mut world = World::new().await;
    let _refuses = world.alc_answers(400, r#"{"error":"invalid_grant"}"#).await;
    let mut refused = None;
    for _ in 0..60 {
        let tab = world.begin(&[]).await;
        let answer = world.back(&tab, "code=made-up").await;
        if answer.status == 429 {
            refused = Some((tab, answer));
            break;
        }
        assert_eq!(param(&answer.location(), "error").as_deref(), Some("access_denied"));
    }
    let (tab, answer) = refused.expect("not for ever");
    answer.is_page(429);
    assert_eq!(answer.header(header::RETRY_AFTER), Some("1"));
    assert_eq!(answer.header(header::SET_COOKIE), None, "the attempt is still there");
    // What costs neither a call nor a write is answered meanwhile.
    assert_eq!(param(&world.back(&tab, "error=no").await.location(), "error").as_deref(), Some("no"));
}

#[actix_web::test]
async fn a_code_is_redeemed_once_by_who_asked_for_it() {
    let mut world = World::new().await;
    let (_alc, _attio) = world.upstreams().await;
    let proven = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let good = [REDIRECT, ("code_verifier", VERIFIER)];
    let refused = (400, "invalid_grant".to_owned());

    let code = world.code(&proven).await;
    let other = VERIFIER.replace('d', "e");
    for attempt in [
        // PKCE left out, or another's; another redirect URI, also a registered one.
        vec![REDIRECT],
        vec![REDIRECT, ("code_verifier", &other)],
        vec![REDIRECT, ("code_verifier", CHALLENGE)],
        vec![("redirect_uri", "https://app.example/other"), good[1]],
        vec![("redirect_uri", "https://app.example/callback"), good[1]],
    ] {
        assert_eq!(world.redeem(&code, &attempt).await.error(), refused, "{attempt:?}");
    }
    let spoilt = format!("{}x", &code[..code.len() - 1]);
    assert_eq!(world.redeem(&spoilt, &good).await.error(), refused);
    let granted = world.redeem(&code, &good).await.json();
    // A second time: nobody can tell which of the two is the thief, so both lose.
    assert_eq!(world.redeem(&code, &good).await.error(), refused);
    assert_eq!(world.refresh(text(&granted, "refresh_token")).await.error(), refused);

    // A verifier for a code that was asked for without a challenge (RFC 9700 §4.8.2).
    let unproven = world.code(&[]).await;
    assert_eq!(world.redeem(&unproven, &good).await.error(), refused);
    let unproven = world.code(&[]).await;
    assert_eq!(world.redeem(&unproven, &[REDIRECT]).await.status, 200);

    let late = world.code(&proven).await;
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.redeem(&late, &good).await.error(), refused);
}

#[actix_web::test]
async fn a_grant_that_cannot_be_kept_is_given_back() {
    let mut world = World::new().await;
    let (_alc, attio) = world.upstreams().await;
    let webhook = world.alc.mock("POST", "/api/v1/webhooks").with_status(201).with_body(r#"{"id":"w"}"#);
    let _webhook = webhook.create_async().await;
    let code = world.code(&[]).await;
    let granted = world.redeem(&code, &[REDIRECT]).await.json();
    let token = SecretString::from(text(&granted, "access_token"));
    let subject = world.authorization.verify(&token).expect("our token");
    let owner = world.workspace.to_string();
    let added = world.connections.connection_added(subject.workspace, subject.connection, "workspace", &owner).await;
    added.expect("connects");

    // Now the key belongs to another workspace.
    attio.remove_async().await;
    let body = json!({"active": true, "workspace_id": WorkspaceId::random(), "scope": ""}).to_string();
    let _attio = world.attio.mock("GET", "/v2/self").with_body(body).create_async().await;
    let _other = world.alc_answers(200, r#"{"access_token":"x-a","token_type":"Bearer","refresh_token":"x-r"}"#).await;
    let token = Matcher::Regex("token=x-[ar]".to_owned());
    let revoked = world.alc.mock("POST", "/revoke").match_body(token).expect(2).create_async().await;
    let tab = world.begin(&[]).await;
    let location = world.back(&tab, "code=alc-code").await.location();
    assert_eq!(param(&location, "error").as_deref(), Some("access_denied"));
    assert!(param(&location, "error_description").expect("a description").contains("another workspace"));
    world.lifecycle.drained(Duration::from_secs(10)).await;
    reconcile(&world).await;
    revoked.assert_async().await;
}

#[actix_web::test]
async fn a_grant_that_another_connection_lives_on_is_not_given_back() {
    let mut world = World::new().await;
    let (alc, attio) = world.upstreams().await;
    let _webhook =
        world.alc.mock("POST", "/api/v1/webhooks").with_status(201).with_body(r#"{"id":"w"}"#).create_async().await;
    // One connection of another workspace waits when the key's workspace gets its own.
    let first = world.code(&[]).await;
    attio.remove_async().await;
    alc.remove_async().await;
    let waiting = WorkspaceId::random();
    let body = json!({"active": true, "workspace_id": waiting, "scope": ""}).to_string();
    let attio = world.attio.mock("GET", "/v2/self").with_body(&body).create_async().await;
    let _same = world.alc_answers(200, r#"{"access_token":"x-a","token_type":"Bearer","refresh_token":"x-r"}"#).await;
    let other = world.code(&[]).await;
    assert_eq!(world.redeem(&other, &[REDIRECT]).await.status, 200);
    attio.remove_async().await;
    let own = json!({"active": true, "workspace_id": world.workspace, "scope": ""}).to_string();
    let attio = world.attio.mock("GET", "/v2/self").with_body(own).create_async().await;
    let granted = world.redeem(&first, &[REDIRECT]).await.json();
    let subject = world.authorization.verify(&SecretString::from(text(&granted, "access_token"))).expect("our token");
    let owner = world.workspace.to_string();
    let added = world.connections.connection_added(subject.workspace, subject.connection, "workspace", &owner).await;
    added.expect("connects");

    // It tries again, in vain, and ALC gives it the tokens that it has.
    attio.remove_async().await;
    let _attio = world.attio.mock("GET", "/v2/self").with_body(&body).create_async().await;
    let revoked = world.alc.mock("POST", "/revoke").expect(0).create_async().await;
    let tab = world.begin(&[]).await;
    let location = world.back(&tab, "code=alc-code").await.location();
    assert_eq!(param(&location, "error").as_deref(), Some("access_denied"));
    world.lifecycle.drained(Duration::from_secs(10)).await;
    reconcile(&world).await;
    revoked.assert_async().await;
}

#[actix_web::test]
async fn a_code_that_got_no_answer_is_not_to_be_sent_again() {
    let mut world = World::new().await;
    let _upstreams = world.upstreams().await;
    let code = world.code(&[]).await;
    let (again, granted) = (world.code(&[]).await, world.redeem(&code, &[REDIRECT]).await.json());
    world.store.close().await;
    let unavailable = (503, "temporarily_unavailable".to_owned());
    let (code, token) = (world.redeem(&again, &[REDIRECT]).await, world.refresh(text(&granted, "refresh_token")).await);
    assert_eq!((code.error(), token.error()), (unavailable.clone(), unavailable));
    assert!(text(&code.json(), "error_description").contains("connect again"), "{}", code.body);
    assert!(text(&token.json(), "error_description").contains("the same request"), "{}", token.body);
}

#[actix_web::test]
async fn who_is_not_the_client_gets_no_token() {
    let world = World::new().await;
    let form = "application/x-www-form-urlencoded";
    let request = |kind: &str, body: &str| {
        let request = TestRequest::post().uri("/oauth/token").insert_header((header::CONTENT_TYPE, kind.to_owned()));
        request.set_payload(body.to_owned())
    };
    let grant = "grant_type=refresh_token&refresh_token=a.b";
    let anonymous = world.call(request(form, grant)).await;
    assert_eq!(anonymous.error(), (401, "invalid_client".to_owned()));
    let wrong = request(form, grant).insert_header((header::AUTHORIZATION, "Basic YXR0aW86eA=="));
    let wrong = world.call(wrong).await;
    assert_eq!(wrong.error(), (401, "invalid_client".to_owned()));
    for refused in [anonymous, wrong] {
        assert!(refused.header(header::WWW_AUTHENTICATE).expect("a challenge").starts_with("Basic "));
    }
    let credentials = format!("Basic {}", STANDARD.encode("attio:s+cret"));
    let twice = request(form, grant).append_header((header::AUTHORIZATION, credentials.as_str()));
    let twice = world.call(twice.append_header((header::AUTHORIZATION, credentials.as_str()))).await;
    assert_eq!(twice.error(), (401, "invalid_client".to_owned()));
    let both =
        request(form, "client_id=attio&client_secret=s%2Bcret").insert_header((header::AUTHORIZATION, credentials));
    assert_eq!(world.call(both).await.error(), (400, "invalid_request".to_owned()));
    let by_body = format!("client_id=attio&client_secret=s%2Bcret&{grant}");
    assert_eq!(world.call(request(form, &by_body)).await.error(), (400, "invalid_grant".to_owned()));
    let with_charset = format!("{form}; charset=UTF-8");
    assert_eq!(world.call(request(&with_charset, &by_body)).await.error(), (400, "invalid_grant".to_owned()));
    assert_eq!(world.call(request("application/json", &by_body)).await.error(), (415, "invalid_request".to_owned()));
    let long = format!("{by_body}&x={}", "x".repeat(64 * 1024));
    assert_eq!(world.call(request(form, &long)).await.error(), (413, "invalid_request".to_owned()));
    let revoke = world.call(request(form, "token=a.b").uri("/oauth/revoke")).await;
    assert_eq!(revoke.error(), (401, "invalid_client".to_owned()));
    let get = world.get("/oauth/token", None).await;
    assert_eq!((get.status.as_u16(), get.header(header::ALLOW)), (405, Some("POST")));
}

#[actix_web::test]
async fn the_attempt_begins_on_the_host_to_which_the_callback_comes() {
    let world = World::new().await;
    let query = encoded(&[("response_type", "code"), ("client_id", "attio"), ("redirect_uri", REDIRECT_URI)]);
    let at = async |host: &str, query: &str| {
        let request = TestRequest::get().uri(&format!("/oauth/authorize?{query}"));
        world.call(request.insert_header((header::HOST, host.to_owned()))).await
    };
    for host in ["connector.example", "CONNECTOR.example", "connector.example:443"] {
        assert_eq!(at(host, &query).await.location().host_str(), Some("alc.example"), "{host}");
    }
    for host in ["localhost:8080", "10.0.0.7", "connector.example:8443", "connector.example.evil", "x@connector"] {
        let sent_on = at(host, &query).await;
        assert_eq!(sent_on.header(header::SET_COOKIE), None);
        let location = sent_on.location();
        assert!(location.as_str().starts_with(&format!("{ISSUER}/oauth/authorize?{query}&")), "{location}");
        // A proxy that hides the public host from us does not make it go round for ever.
        let again = at(host, location.query().expect("a query")).await;
        assert_eq!(again.location().host_str(), Some("alc.example"));
    }
}

#[actix_web::test]
async fn a_bad_client_or_redirect_uri_ends_with_a_page_that_shows_nothing_of_the_request() {
    let world = World::new().await;
    for (id, uri) in [("<script>", REDIRECT_URI), ("attio", "https://evil.example/<script>"), ("attio", "")] {
        let query = encoded(&[("response_type", "code"), ("client_id", id), ("redirect_uri", uri), ("state", "s")]);
        let answer = world.get(&format!("/oauth/authorize?{query}"), None).await;
        answer.is_page(400);
        assert!(!answer.body.contains("evil"));
        assert_eq!(answer.header(header::SET_COOKIE), None);
    }
}

#[actix_web::test]
async fn clients_can_discover_what_there_is() {
    let world = World::new().await;
    let metadata = world.get("/.well-known/oauth-authorization-server", None).await.json();
    assert_eq!(text(&metadata, "issuer"), ISSUER);
    for (member, path) in [
        ("authorization_endpoint", "/oauth/authorize"),
        ("token_endpoint", "/oauth/token"),
        ("revocation_endpoint", "/oauth/revoke"),
        ("jwks_uri", "/.well-known/jwks.json"),
    ] {
        assert_eq!(text(&metadata, member), format!("{ISSUER}{path}"));
        assert_ne!(world.get(path, None).await.status, 404);
    }
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], json!(true));
    let jwks = world.get("/.well-known/jwks.json", None).await.json();
    assert_eq!((&jwks["keys"][0]["kty"], &jwks["keys"][0]["d"]), (&json!("OKP"), &Value::Null));
}

#[actix_web::test]
async fn guesses_at_the_secret_are_limited_and_lock_nobody_out() {
    let world = World::new().await;
    let request = |path: &str, secret: &str| {
        let request =
            TestRequest::post().uri(path).insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded"));
        let form =
            format!("grant_type=refresh_token&refresh_token=a.b&token=a.b&client_id=attio&client_secret={secret}");
        request.set_payload(form)
    };
    let mut limited = None;
    for guess in 0..1000 {
        let path = if guess % 2 == 0 { "/oauth/token" } else { "/oauth/revoke" };
        let answer = world.call(request(path, &format!("guess-{guess}"))).await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
        assert_eq!(answer.error(), (401, "invalid_client".to_owned()));
    }
    let limited = limited.expect("guessing has an end");
    assert_eq!(limited.error(), (429, "invalid_client".to_owned()));
    assert_eq!(limited.header(header::RETRY_AFTER), Some("1"));
    assert_eq!(limited.header(header::CACHE_CONTROL), Some("no-store"));
    // The client itself passes.
    assert_eq!(world.call(request("/oauth/token", "s%2Bcret")).await.error(), (400, "invalid_grant".to_owned()));
    assert_eq!(world.call(request("/oauth/revoke", "s%2Bcret")).await.status, 200);
}

#[actix_web::test]
async fn plain_http_to_the_public_host_is_sent_on_to_https_and_told_of() {
    let mut world = World::new().await;
    let (_alc, _attio) = world.upstreams().await;
    let query = encoded(&[("response_type", "code"), ("client_id", "attio"), ("redirect_uri", REDIRECT_URI)]);
    let by = async |proto: (&'static str, &'static str), path: &str| {
        let request = TestRequest::get().uri(path).insert_header((header::HOST, "connector.example"));
        world.call(request.insert_header(proto)).await
    };
    let begin = format!("/oauth/authorize?{query}");
    for plain in [("x-forwarded-proto", "http"), ("forwarded", "proto=http")] {
        let sent_on = by(plain, &begin).await;
        assert_eq!(sent_on.header(header::SET_COOKIE), None, "the browser would drop it");
        let location = sent_on.location();
        assert!(location.as_str().starts_with(&format!("{ISSUER}{begin}&")), "{location}");
        // A proxy that says http of all browsers stops none.
        let again = by(plain, &format!("/oauth/authorize?{}", location.query().expect("a query"))).await;
        assert_eq!(again.location().host_str(), Some("alc.example"));
    }
    assert_eq!(by(("x-forwarded-proto", "https"), &begin).await.location().host_str(), Some("alc.example"));
    let tab = world.begin(&[]).await;
    let back = format!("/oauth/callback?code=alc-code&state={}", tab.state);
    let page = by(("x-forwarded-proto", "http"), &back).await;
    page.is_page(400);
    assert!(page.body.contains("plain HTTP"), "{}", page.body);
}
