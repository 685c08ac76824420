//! HTTP and OAuth as others really speak them: letter case, empty items, types that say nothing, credentials given
//! twice, URLs that are tried before they are used.

use reqwest::{Method, RequestBuilder};
use sandbox::{Callback, attio::sign};
use serde_json::json;

use crate::support::{
    ambient::eventually,
    attio_app::{AttioApp, authorization_code, authorize_url, lead_body},
    harness::{HOUR, MINUTE, Setup, World, scenario},
    http::send,
    process::Process,
    settings::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI},
};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn token(world: &World, form: &[(&str, &str)]) -> RequestBuilder {
    world.client.post(format!("{}/oauth/token", world.url())).form(form)
}

/// The statuses of HEAD, GET and a POST without a body, in that order; the contract knows no HEAD.
async fn tried(world: &World, url: &str) -> [u16; 3] {
    let head = world.client.head(url).send().await.expect("an answer").status().as_u16();
    [head, send(world.client.get(url)).await.status, send(world.client.post(url)).await.status]
}

scenario! {
    async fn identity_is_no_coding_however_it_is_written(setup: Setup) {
        let (world, app) = setup.connected().await;
        let url = world.alc.webhooks()[0].url.clone();
        for (codings, fine) in [
            (&["Identity"][..], true),
            (&["IDENTITY, identity"], true),
            (&["identity", "Identity"], true),
            (&[" ,identity,, "], true),
            (&[""], true),
            (&["gzip"], false),
            (&["identity, GZIP"], false),
            (&["identity", "br"], false),
            (&["identityx"], false),
        ] {
            let coded = |request: RequestBuilder| {
                codings.iter().fold(request, |request, coding| request.header("content-encoding", *coding))
            };
            let lead = coded(app.request(Method::POST, "/v1/leads")).json(&lead_body(&world.person()));
            assert_eq!(send(lead).await.status, if fine { 201 } else { 415 }, "{codings:?}");
            let other = json!({ "event": "other" }).to_string();
            let callback = send(coded(world.client.post(&url)).header("content-type", "application/json").body(other));
            // Unsigned: read, but not believed.
            assert_eq!(callback.await.status, if fine { 401 } else { 415 }, "{codings:?}");
            let form = [("grant_type", "refresh_token"), ("refresh_token", app.refresh_token.as_str())];
            let refresh = coded(token(&world, &form)).basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
            assert_eq!(send(refresh).await.status, if fine { 200 } else { 415 }, "{codings:?}");
        }
    }
}

scenario! {
    async fn what_a_callback_declares_as_its_type_does_not_matter(setup: Setup) {
        let world = setup.start().await;
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        let app = world.connect().await;
        let webhook = world.attio.webhooks()[0].clone();
        for kind in ["", "text/plain", "text/plain; charset=iso-8859-1", "application/x-www-form-urlencoded", "nonsense", ";", "text/html"] {
            let (ada, bob) = (world.person(), world.person());
            for person in [&ada, &bob] {
                app.press(person).await.expect(201);
            }
            world.tell(Callback::new(&ada.record_id, "qualified").content_type(kind), 200).await;
            assert_eq!(app.lead_says(&ada, "result").await, "qualified", "{kind}");
            let body = json!({ "events": [world.attio.event("record.deleted", &bob.record_id)] }).to_string();
            let request = world.client.post(&webhook.target_url).header("attio-signature", sign(&webhook.secret, &body));
            let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
            send(request.body(body)).await.expect(200);
            assert_eq!(app.lead_says(&bob, "reason").await, "record-deleted", "{kind}");
        }
        // What is no JSON is refused for that.
        world.tell(Callback::new("x", "x").content_type("text/xml").body("<a/>"), 400).await;
    }
}

scenario! {
    async fn a_url_that_alc_tries_answers_and_learns_nothing(setup: Setup) {
        let world = setup.start().await;
        for method in ["HEAD", "GET", "POST"] {
            world.alc.configure(|alc| alc.tries_urls = Some(method.to_owned()));
            world.connect().await;
        }
        let app = world.connect().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let url = world.alc.webhooks().last().expect("a webhook").url.clone();
        assert_eq!(tried(&world, &url).await, [200, 200, 200]);
        let blank = world.client.post(&url).header("content-type", "application/json").body(" \r\n");
        send(blank).await.expect(200);
        assert_eq!(send(world.client.get(&url)).await.json(), json!({}));
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
        // Wrong in any part: nothing is there, and nothing more is said.
        let other = format!("{}/webhooks/alc/{}.x", world.url(), world.attio.workspace_id());
        for unknown in [other, format!("{url}x"), format!("{}/webhooks/alc/x", world.url())] {
            assert_eq!(tried(&world, &unknown).await, [410, 410, 410]);
        }
        world.call_back(&ada, "qualified").await;
        app.connection_removed().await.expect(202);
        let gone = async || tried(&world, &url).await == [410, 410, 410];
        world.pass_until("it is gone", MINUTE, HOUR, gone).await;
    }
}

scenario! {
    async fn attios_other_name_for_its_signature_is_as_good(setup: Setup) {
        let world = setup.start().await;
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        let app = world.connect().await;
        let webhook = world.attio.webhooks()[0].clone();
        let wrong = || sign("another", "x");
        for (headers, status) in [
            (&["x-attio-signature"][..], 200),
            (&["attio-signature", "x-attio-signature"], 200),
            (&["attio-signature", "!x-attio-signature"], 200),
            (&["!attio-signature", "x-attio-signature"], 200),
            (&["!x-attio-signature"], 401),
            (&["!attio-signature", "!x-attio-signature"], 401),
            (&["signature"], 401),
        ] {
            let ada = world.person();
            app.press(&ada).await.expect(201);
            let body = json!({ "events": [world.attio.event("record.deleted", &ada.record_id)] }).to_string();
            let request = headers.iter().fold(world.client.post(&webhook.target_url), |request, name| {
                match name.strip_prefix('!') {
                    Some(name) => request.header(name, wrong()),
                    None => request.header(*name, sign(&webhook.secret, &body)),
                }
            });
            assert_eq!(send(request.body(body.clone())).await.status, status, "{headers:?}");
        }
    }
}

scenario! {
    async fn svixs_names_for_a_signature_are_as_good(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        let callback = Callback::new(&ada.record_id, "qualified").by_svix();
        world.tell(callback.clone().wrongly_signed(), 401).await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
        world.tell(callback, 200).await;
        assert_eq!(app.lead_says(&ada, "result").await, "qualified");
    }
}

scenario! {
    async fn right_credentials_may_be_given_twice(setup: Setup) {
        let (world, app) = setup.connected().await;
        let grant = [("grant_type", "refresh_token"), ("refresh_token", app.refresh_token.as_str())];
        let with = |more: &[(&'static str, &'static str)]| {
            let form: Vec<_> = grant.iter().copied().chain(more.iter().copied()).collect();
            token(&world, &form)
        };
        let (id, secret) = (("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET));
        for (basic, body, status) in [
            (Some(CLIENT_SECRET), &[id, secret][..], 200),
            (Some(CLIENT_SECRET), &[secret], 200),
            // `%2D` is the hyphen that stands in the secret.
            (Some("attio%2Dapp%2dsecret"), &[id, secret], 200),
            (Some(CLIENT_SECRET), &[id, ("client_secret", "wrong")], 401),
            (Some("wrong"), &[id, secret], 401),
            (Some(CLIENT_SECRET), &[("client_id", "another"), secret], 401),
            (Some("wrong"), &[id, ("client_secret", "wrong")], 401),
        ] {
            let request = with(body).basic_auth(CLIENT_ID, basic);
            assert_eq!(send(request).await.status, status, "{basic:?} {body:?}");
        }
        let bearer = with(&[id, secret]).bearer_auth(app.access_token());
        send(bearer).await.expect(401);
    }
}

scenario! {
    async fn a_redirect_uri_may_be_left_out_where_a_challenge_was_met(setup: Setup) {
        let world = setup.start().await;
        let pkce = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
        let wrong = "x".repeat(43);
        for (more, status) in [
            (&[("code_verifier", VERIFIER)][..], 200),
            (&[("code_verifier", VERIFIER), ("redirect_uri", "")], 200),
            (&[("code_verifier", VERIFIER), ("redirect_uri", REDIRECT_URI)], 200),
            (&[("code_verifier", VERIFIER), ("redirect_uri", "https://other.example/")], 400),
            (&[("code_verifier", wrong.as_str())], 400),
            (&[], 400),
        ] {
            let mut browser = world.browser();
            let consent = browser.visit(&authorize_url(&world, &pkce)).await.expect(302).location();
            let callback = browser.consent(consent.as_str()).await;
            let code = browser.visit(&callback).await.expect(302).location_query()["code"].clone();
            let mut form = vec![("grant_type", "authorization_code"), ("code", code.as_str())];
            form.extend(more);
            let request = token(&world, &form).basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
            assert_eq!(send(request).await.status, status, "{more:?}");
        }
        let code = authorization_code(&world).await;
        let form = [("grant_type", "authorization_code"), ("code", code.as_str())];
        send(token(&world, &form).basic_auth(CLIENT_ID, Some(CLIENT_SECRET))).await.expect(400);
    }
}

scenario! {
    async fn a_revocation_answers_json(setup: Setup) {
        let (world, app) = setup.connected().await;
        let url = format!("{}/oauth/revoke", world.url());
        for token in ["nothing.of-ours", "nothing", app.refresh_token.as_str()] {
            let form = [("token", token), ("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
            let answer = send(world.client.post(&url).form(&form)).await.expect(200);
            assert_eq!((answer.header("content-type"), answer.body.as_str()), (Some("application/json"), "{}"));
        }
    }
}

/// Connected before signatures were required, at an ALC that tells no secret.
async fn required_later(setup: Setup) -> (World, AttioApp) {
    let (mut world, app) = setup.alc(|alc| alc.secrets = false).connected().await;
    world.settings.set("ALC__WEBHOOK_SIGNATURE", "required");
    world.restart().await;
    (world, app)
}

scenario! {
    async fn a_callback_without_a_secret_says_why_it_is_refused(setup: Setup) {
        let (mut world, app) = required_later(setup).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        for callback in [
            Callback::new(&ada.record_id, "qualified"),
            Callback::new(&ada.record_id, "qualified").event("other"),
            Callback::new(&ada.record_id, "processing"),
            Callback::new(&ada.record_id, "x").body("no json"),
        ] {
            let refused = world.tell(callback, 401).await.body;
            assert!(refused.contains("/problems/invalid-signature"), "{refused}");
            assert!(refused.contains("ALC__WEBHOOK_SIGNATURE") && refused.contains("connect"), "{refused}");
        }
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
        let url = world.alc.webhooks()[0].url.clone();
        assert_eq!(tried(&world, &url).await, [200, 200, 200], "to try the URL proves nothing and changes nothing");
        // Either way out works: a connection whose webhook has a secret, or the setting.
        world.alc.configure(|alc| alc.secrets = true);
        let again = world.connect().await;
        let bob = world.person();
        again.press(&bob).await.expect(201);
        world.call_back(&bob, "qualified").await;
        world.settings.set("ALC__WEBHOOK_SIGNATURE", "when-secret-known");
        world.restart().await;
        let first = world.alc.all_webhooks()[0].webhook_id.clone();
        world.tell(Callback::new(&ada.record_id, "qualified").to(&first), 200).await;
    }
}

scenario! {
    async fn the_start_says_how_many_connections_nothing_can_prove(setup: Setup) {
        let mut world = setup.alc(|alc| alc.secrets = false).connected().await.0;
        world.live_in_real_time();
        world.stop().await;
        for (setting, said) in [("required", true), ("when-secret-known", false), ("off", false)] {
            world.settings.set("ALC__WEBHOOK_SIGNATURE", setting);
            let mut process = Process::new(&world.settings);
            process.start().await;
            let line = async || {
                let log = process.log();
                log.lines().find(|line| line.contains("WEBHOOK_SIGNATURE is required")).map(str::to_owned)
            };
            if said {
                let line = eventually("it is said in the log", line).await;
                assert!(line.contains("connections=1"), "{line}");
            }
            assert_eq!(process.terminate().await, Some(0));
            assert_eq!(process.log().contains("WEBHOOK_SIGNATURE is required"), said, "{setting}");
        }
    }
}
