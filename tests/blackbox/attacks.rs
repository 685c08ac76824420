//! Attacks on the OAuth connection and on the clients that hold a token of it; each is a test that the attack fails.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use sandbox::{Callback, Stage, wire::Fault};
use serde_json::{Value, json};

use crate::support::{
    attio_app::{AttioApp, authorization_code, authorize_url, lead_body, token_request},
    harness::{MINUTE, Setup, World, scenario},
    http::{Answer, send},
    settings::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI},
};

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The body of a JWT, or its head, as JSON.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("three parts");
    serde_json::from_slice(&base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, part).expect("base64url"))
        .expect("JSON")
}

fn text(value: &Value) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, value.to_string())
}

/// Signs what an attacker likes with the service's own key: the worst case of a token meant for something else.
fn signed(world: &World, head: &Value, claims: &Value) -> String {
    let key = world.settings.variables().find(|(name, _)| name.ends_with("KEYS__SIGNING")).expect("a key").1;
    let der = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, key).expect("base64");
    let header = Header { kid: head["kid"].as_str().map(str::to_owned), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &EncodingKey::from_ed_der(&der)).expect("signs")
}

async fn ask_with(world: &World, token: &str) -> Answer {
    send(world.client.get(format!("{}/v1/connection", world.url())).bearer_auth(token)).await
}

async fn callback_of(world: &World, more: &[(&str, &str)]) -> (crate::support::browser::Browser, String) {
    let mut browser = world.browser();
    let consent = browser.visit(&authorize_url(world, more)).await.expect(302).location();
    let callback = browser.consent(consent.as_str()).await;
    (browser, callback)
}

fn refresh_form(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

fn code_form(code: &str) -> [(&str, &str); 3] {
    [("grant_type", "authorization_code"), ("redirect_uri", REDIRECT_URI), ("code", code)]
}

async fn exchange(world: &World, form: &[(&str, &str)]) -> Answer {
    send(token_request(&world.client, &world.url(), form)).await
}

scenario! {
    async fn a_forged_access_token_is_no_token(setup: Setup) {
        let (world, app) = setup.connected().await;
        let good = app.access_token();
        ask_with(&world, &good).await.expect(200);
        let (head, claims) = (part(&good, 0), part(&good, 1));
        let signature = good.rsplit_once('.').expect("a signature").1;
        let with = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            claims
        };

        let none = json!({"alg": "none", "typ": "JWT"});
        // The public key, which is published, as the secret of an HMAC.
        let jwks = send(world.client.get(format!("{}/.well-known/jwks.json", world.url()))).await.expect(200).json();
        let public = jwks["keys"][0]["x"].as_str().expect("a key").to_owned();
        let mut hmac = Header::new(Algorithm::HS256);
        hmac.kid = head["kid"].as_str().map(str::to_owned);
        let confused = encode(&hmac, &claims, &EncodingKey::from_secret(public.as_bytes())).expect("signs");
        let raw = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, &public).expect("base64url");
        let confused_raw = encode(&hmac, &claims, &EncodingKey::from_secret(&raw)).expect("signs");
        let foreign = aws_lc_rs::signature::Ed25519KeyPair::generate().expect("a key");
        let foreign = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&foreign).expect("DER");
        let foreign = EncodingKey::from_ed_der(foreign.as_ref());
        let mut foreign_head = Header::new(Algorithm::EdDSA);
        foreign_head.kid = hmac.kid.clone();
        let under_our_kid = encode(&foreign_head, &claims, &foreign).expect("signs");
        foreign_head.kid = Some("theirs".to_owned());
        let under_their_kid = encode(&foreign_head, &claims, &foreign).expect("signs");

        for (attack, token) in [
            ("alg none", format!("{}.{}.", text(&none), text(&claims))),
            ("alg none, old signature", format!("{}.{}.{signature}", text(&none), text(&claims))),
            ("HMAC with the public key's text", confused),
            ("HMAC with the public key's bytes", confused_raw),
            ("another key under our kid", under_our_kid),
            ("another key under its kid", under_their_kid),
            ("another workspace in the body", format!("{}.{}.{signature}", text(&head), text(&with("wks", json!(CLIENT_ID))))),
            ("another audience", signed(&world, &head, &with("aud", json!("somebody-else")))),
            ("another issuer", signed(&world, &head, &with("iss", json!("https://issuer.example")))),
            ("expired", signed(&world, &head, &with("exp", json!(world.now().as_second())))),
            ("a connection that never was", signed(&world, &head, &with("sub", json!(uuid::Uuid::new_v4())))),
            ("a workspace that never was", signed(&world, &head, &with("wks", json!(uuid::Uuid::new_v4())))),
            ("the refresh token", app.refresh_token.clone()),
        ] {
            let answer = ask_with(&world, &token).await;
            assert_eq!((answer.status, answer.slug().as_str()), (401, "unauthorized"), "{attack}");
        }
    }
}

scenario! {
    async fn an_expired_token_reads_nothing(setup: Setup) {
        let (world, app) = setup.connected().await;
        let token = app.access_token();
        world.pass(Duration::from_secs(3599)).await;
        ask_with(&world, &token).await.expect(200);
        world.pass(Duration::from_secs(1)).await;
        ask_with(&world, &token).await.expect_problem(401, "unauthorized");
    }
}

scenario! {
    async fn a_code_is_no_use_to_another_than_who_asked_for_it(setup: Setup) {
        let world = setup.start().await;
        // A stolen code, put into the client's exchange by an attacker who began without a challenge.
        let (mut browser, callback) = callback_of(&world, &[("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]).await;
        let code = browser.visit(&callback).await.expect(302).location_query()["code"].clone();
        let form = |more: &[(&'static str, &'static str)]| {
            let mut form = vec![("grant_type", "authorization_code"), ("redirect_uri", REDIRECT_URI)];
            form.extend_from_slice(more);
            form
        };
        let mut downgraded = form(&[]);
        downgraded.push(("code", &code));
        assert_eq!(exchange(&world, &downgraded).await.expect(400).json()["error"], "invalid_grant", "PKCE left out");
        // And the other way round: a verifier for a code that was asked for without a challenge (RFC 9700 §4.8.2).
        let plain = authorization_code(&world).await;
        let mut injected = form(&[("code_verifier", VERIFIER)]);
        injected.push(("code", &plain));
        assert_eq!(exchange(&world, &injected).await.expect(400).json()["error"], "invalid_grant", "a verifier too many");
        // Another client, also one that knows half of what ours knows.
        let code = authorization_code(&world).await;
        let mut stolen = form(&[]);
        stolen.push(("code", &code));
        let other = "another-client";
        for (id, secret) in [(other, "guess"), (other, CLIENT_SECRET), (CLIENT_ID, "guess"), (CLIENT_ID, "")] {
            let request = || world.client.post(format!("{}/oauth/token", world.url()));
            let in_body = [&stolen[..], &[("client_id", id), ("client_secret", secret)]].concat();
            for refused in [send(request().basic_auth(id, Some(secret)).form(&stolen)), send(request().form(&in_body))] {
                assert_eq!(refused.await.expect(401).json()["error"], "invalid_client", "{id} {secret}");
            }
        }
        exchange(&world, &stolen).await.expect(200);
    }
}

scenario! {
    async fn a_refresh_token_is_no_use_to_another_nor_once_its_connection_has_ended(setup: Setup) {
        let (world, app) = setup.connected().await;
        let good = app.refresh_token.as_str();
        let refused = async |token: &str, attack: &str| {
            let answer = exchange(&world, &refresh_form(token)).await.expect(400);
            assert_eq!(answer.json()["error"], "invalid_grant", "{attack}");
        };
        let (owner, secret) = good.split_once('.').expect("an owner");
        for (attack, forged) in [
            ("a guess", format!("{owner}.guess")),
            ("nothing", format!("{owner}.")),
            ("another workspace's", format!("{}.{secret}", uuid::Uuid::new_v4())),
            ("nobody's", secret.to_owned()),
            ("a code", authorization_code(&world).await),
            ("the access token", app.access_token()),
        ] {
            refused(&forged, attack).await;
        }
        for (id, secret) in [("another-client", CLIENT_SECRET), (CLIENT_ID, "guess")] {
            let request = world.client.post(format!("{}/oauth/token", world.url())).basic_auth(id, Some(secret));
            assert_eq!(send(request.form(&refresh_form(good))).await.expect(401).json()["error"], "invalid_client");
        }
        exchange(&world, &refresh_form(good)).await.expect(200);
        // Both are still cleaning up after themselves.
        let hold = world.alc.faults().hold("delete_webhook", Stage::Before);
        let next = world.connect().await;
        refused(good, "of a replaced connection").await;
        next.connection_removed().await.expect(202);
        refused(&next.refresh_token, "of a removed connection").await;
        hold.release();
    }
}

scenario! {
    async fn a_connection_that_gave_way_is_worth_nothing(setup: Setup) {
        let world = setup.start().await;
        let hold = world.alc.faults().hold("revoke", Stage::Before);
        let first = world.authorize().await;
        for _ in 0..4 {
            world.authorize().await;
        }
        exchange(&world, &refresh_form(&first.refresh_token)).await.expect(200);
        let last = world.authorize().await;
        let refused = exchange(&world, &refresh_form(&first.refresh_token)).await.expect(400);
        assert_eq!(refused.json()["error"], "invalid_grant");
        exchange(&world, &refresh_form(&last.refresh_token)).await.expect(200);
        hold.release();
    }
}

scenario! {
    async fn a_state_that_an_attacker_chose_or_fetched_leads_nowhere(setup: Setup) {
        let world = setup.start().await;
        // Login CSRF: the attacker's own state and code, in the victim's browser.
        let (_, attackers) = callback_of(&world, &[]).await;
        let mut victim = world.browser();
        victim.visit(&authorize_url(&world, &[])).await.expect(302);
        victim.visit(&attackers).await.expect(400);
        // A fixed state, a missing one, and one for a provider that this service does not use.
        for callback in ["?code=x&state=fixed", "?code=x", "?code=x&state=", "?state=fixed&state=fixed&code=x"] {
            victim.visit(&format!("{}/oauth/callback{callback}", world.url())).await.expect(400);
        }
        assert_eq!(world.alc.journal().count("token"), 0, "no code was exchanged");
    }
}

scenario! {
    async fn two_tabs_at_once_both_work(setup: Setup) {
        let world = setup.start().await;
        let mut browser = world.browser();
        let first = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        let second = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        for consent in [second, first] {
            let callback = browser.consent(consent.as_str()).await;
            let code = browser.visit(&callback).await.expect(302).location_query()["code"].clone();
            exchange(&world, &code_form(&code)).await.expect(200);
        }
    }
}

scenario! {
    async fn nobody_is_redirected_to_where_the_client_is_not(setup: Setup) {
        let world = setup.start().await;
        let good = authorize_url(&world, &[]);
        let registered = url::form_urlencoded::byte_serialize(REDIRECT_URI.as_bytes()).collect::<String>();
        for elsewhere in [
            "https%3A%2F%2Fevil.example%2F",
            &format!("{registered}%2F..%2Felsewhere"),
            &format!("{registered}%3Fnext%3Dhttps%3A%2F%2Fevil.example"),
            &format!("{registered}%23fragment"),
            &registered.replace("app.attio.example", "app.attio.example%40evil.example"),
            &registered.to_uppercase(),
            "",
        ] {
            let page = world.browser().visit(&good.replace(&registered, elsewhere)).await.expect(400);
            assert!(page.header("location").is_none(), "{elsewhere}");
        }
        let twice = format!("{good}&redirect_uri=https%3A%2F%2Fevil.example");
        world.browser().visit(&twice).await.expect(400);
    }
}

scenario! {
    async fn an_alc_that_answers_the_exchange_badly_connects_nobody(setup: Setup) {
        let world = setup.impatient().start().await;
        let elsewhere = Fault::Status {
            status: 307,
            headers: vec![("location".to_owned(), format!("{}/elsewhere", world.attio.url()))],
            body: Value::Null,
        };
        for fault in [elsewhere, Fault::huge(), Fault::Garbage, Fault::Reset] {
            world.alc.faults().next("token", fault.clone());
            let (mut browser, callback) = callback_of(&world, &[]).await;
            let query = browser.visit(&callback).await.expect(302).location_query();
            assert!(!query.contains_key("code"), "{fault:?}");
            assert!(["server_error", "temporarily_unavailable"].contains(&query["error"].as_str()), "{fault:?} {query:?}");
            assert_eq!(query["state"], "attio's state");
        }
        let strayed = world.attio.journal().all().into_iter().any(|seen| seen.path.contains("elsewhere"));
        assert!(!strayed, "the code and our secret followed a redirect");
        world.authorize().await;
    }
}

scenario! {
    async fn a_webhook_url_of_another_workspace_is_gone(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        let url = world.alc.webhooks()[0].url.clone();
        let (base, token) = url.rsplit_once('/').expect("a token");
        let (_, secret) = token.split_once('.').expect("an owner");
        for forged in [
            format!("{base}/{}.{secret}", uuid::Uuid::new_v4()),
            format!("{base}/{}.guess", world.attio.workspace_id()),
            format!("{base}/{secret}"),
        ] {
            let body = json!({"record_id": ada.record_id, "status": "qualified"});
            send(world.client.post(forged).json(&body)).await.expect_problem(410, "webhook-gone");
        }
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
    }
}

scenario! {
    async fn who_steals_the_stores_disk_reads_no_person_no_token_and_no_callback_url(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        // ALC is away, so that name and number have to be kept.
        world.alc.faults().always("create_lead", Fault::status(503));
        let (step, trigger) = (world.attio.callback_url("where-a-step-waits"), world.attio.callback_url("where-a-trigger-is"));
        let mut body = lead_body(&ada);
        body["finish_callback_url"] = step.clone().into();
        world.while_time_passes(app.press_body(&body)).await.expect(202);
        let trigger_body = json!({ "callback_url": trigger });
        send(app.request(reqwest::Method::PUT, "/v1/triggers/a").json(&trigger_body)).await.expect(201);

        let stored = world.stored();
        let has = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(has(&ada.record_id), "this is where it is kept");
        let tokens = world.alc.journal().requests("token")[0].answer.clone().expect("an answer");
        let tokens: Value = serde_json::from_str(&tokens).expect("JSON");
        let webhook = world.alc.webhooks()[0].clone();
        let secret_of = |token: &str| token.rsplit('.').next().expect("a secret").to_owned();
        for (what, secret) in [
            ("the name", ada.name.clone()),
            ("the number", ada.phone.trim_start_matches('+').to_owned()),
            ("a step's URL", "where-a-step-waits".to_owned()),
            ("a trigger's URL", "where-a-trigger-is".to_owned()),
            ("ALC's access token", tokens["access_token"].as_str().expect("a token").to_owned()),
            ("ALC's refresh token", tokens["refresh_token"].as_str().expect("a token").to_owned()),
            ("our refresh token", secret_of(&app.refresh_token)),
            ("the webhook's URL", secret_of(&webhook.url)),
            ("the webhook's secret", webhook.secret.expect("a secret").trim_start_matches("whsec_").to_owned()),
        ] {
            assert!(!secret.is_empty() && !has(&secret), "{what} lies open");
        }
    }
}

/// Two customers of one service: each of two workspaces connected, and the id of its webhook at ALC.
async fn two_workspaces(setup: Setup) -> (World, [(AttioApp, String); 2]) {
    let (world, first) = setup.attio_grants().connected().await;
    world.attio.configure(|settings| settings.workspace_id = uuid::Uuid::new_v4().to_string());
    let second = world.connect().await;
    let webhooks = world.alc.webhooks();
    assert_eq!(webhooks.len(), 2, "one each");
    let [of_first, of_second] = [0, 1].map(|index| webhooks[index].webhook_id.clone());
    (world, [(first, of_first), (second, of_second)])
}

fn records(page: &Answer) -> Vec<Value> {
    page.json()["leads"].as_array().expect("leads").iter().map(|lead| lead["record_id"].clone()).collect()
}

scenario! {
    async fn one_workspace_does_not_see_anothers_leads(setup: Setup) {
        let (world, [(victim, _), (attacker, _)]) = two_workspaces(setup).await;
        let (ada, bob) = (world.person(), world.person());
        victim.press(&ada).await.expect(201);
        attacker.press(&bob).await.expect(201);
        for (app, own, others) in [(&victim, &ada, &bob), (&attacker, &bob, &ada)] {
            app.lead(own).await.expect(200);
            app.lead(others).await.expect_problem(404, "not-found");
            assert_eq!(records(&app.leads("").await.expect(200)), [json!(own.record_id)]);
            assert_eq!(records(&app.leads("status=pending").await.expect(200)), [json!(own.record_id)]);
        }
        // Nor does a press on another's record join what that one has sent.
        let joined = attacker.press(&ada).await.expect(201).json();
        assert_ne!(joined["lead_id"], victim.lead_says(&ada, "lead_id").await);
    }
}

scenario! {
    async fn one_workspaces_idempotency_key_is_none_of_anothers(setup: Setup) {
        let (world, [(victim, _), (attacker, _)]) = two_workspaces(setup).await;
        let (ada, bob) = (world.person(), world.person());
        let sent = victim.press_with_key(&ada, "the same").await.expect(201).json();
        // Another body under it is no reuse, and the same one no repeat.
        attacker.press_with_key(&bob, "the same").await.expect(201);
        victim.press_with_key(&bob, "another").await.expect(201);
        let own = attacker.press_with_key(&ada, "another").await.expect(201).json();
        assert_ne!(own["lead_id"], sent["lead_id"]);
        assert_eq!(world.alc.journal().count("create_lead"), 4);
        assert_eq!(victim.press_with_key(&ada, "the same").await.expect(201).json()["lead_id"], sent["lead_id"]);
    }
}

scenario! {
    async fn one_workspaces_trigger_is_none_of_anothers(setup: Setup) {
        let (world, [(victim, webhook), (attacker, _)]) = two_workspaces(setup).await;
        let ada = world.person();
        victim.press(&ada).await.expect(201);
        let put = async |app: &AttioApp, callback: &str| {
            let body = json!({ "callback_url": world.attio.callback_url(callback) });
            send(app.request(Method::PUT, "/v1/triggers/activation").json(&body)).await
        };
        put(&victim, "victims").await.expect(201);
        // The same activation is another trigger there, and taking it away takes nothing from here.
        put(&attacker, "attackers").await.expect(201);
        for _ in 0..2 {
            send(attacker.request(Method::DELETE, "/v1/triggers/activation")).await.expect(204);
        }
        put(&attacker, "attackers").await.expect(201);
        world.tell(Callback::new(&ada.record_id, "qualified").to(&webhook), 200).await;
        let told = async || world.attio.told("victims").len() == 1;
        world.pass_until("the trigger is told", Duration::from_secs(1), MINUTE, told).await;
        world.pass_slowly(MINUTE, 3).await;
        assert!(world.attio.told("attackers").is_empty(), "another's lead was told");
    }
}

scenario! {
    async fn one_workspaces_webhook_ends_no_lead_of_anothers(setup: Setup) {
        let (world, [(victim, webhook), (attacker, elsewhere)]) = two_workspaces(setup).await;
        let ada = world.person();
        victim.press(&ada).await.expect(201);
        // To the attacker's workspace it is a record that was never sent.
        world.tell(Callback::new(&ada.record_id, "forged").without_lead_id().to(&elsewhere), 200).await;
        assert_eq!(attacker.lead_says(&ada, "result").await, "forged");
        assert_eq!(victim.lead_says(&ada, "status").await, "pending");
        world.tell(Callback::new(&ada.record_id, "qualified").to(&webhook), 200).await;
        let lead = victim.lead(&ada).await.expect(200).json();
        assert_eq!((&lead["status"], &lead["result"]), (&json!("complete"), &json!("qualified")));
    }
}
