//! The pretend ALC does what `sandbox::alc` promises, rich and minimal.

use std::{collections::BTreeMap, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use reqwest::Client;
use sandbox::{Alc, Callback, alc::Consent, ambient::http_client, wire::decode_form};
use serde_json::{Value, json};

const REDIRECT: &str = "http://127.0.0.1:9/oauth/callback";

fn client() -> Client {
    http_client(Duration::from_secs(5))
}

/// Walks to consent, and gives the query that comes back.
async fn consent(alc: &Alc, verifier: &str) -> BTreeMap<String, String> {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let mut url = url::Url::parse(&alc.authorize_url()).expect("our own URL");
    url.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", "alc-client"),
        ("redirect_uri", REDIRECT),
        ("state", "s&1"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let answer = client().get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), 302);
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    decode_form(location.strip_prefix(&format!("{REDIRECT}?")).expect("our redirect URI").as_bytes())
}

async fn token(alc: &Alc, form: &[(&str, &str)]) -> (u16, Value) {
    let answer = client()
        .post(alc.token_url())
        .basic_auth(alc.client_id(), Some(alc.client_secret()))
        .form(form)
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn exchange(alc: &Alc, code: &str, verifier: &str) -> (u16, Value) {
    let form =
        [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT), ("code_verifier", verifier)];
    token(alc, &form).await
}

async fn send(alc: &Alc, token: &str, key: &str, record: &str) -> (u16, Value) {
    let answer = client()
        .post(format!("{}/api/v1/leads", alc.url()))
        .bearer_auth(token)
        .header("idempotency-key", key)
        .json(&json!({ "recordId": record, "name": "Ada", "phoneNumber": "+4915112345678" }))
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn register(alc: &Alc, token: &str, url: &str) -> Value {
    let answer = client()
        .post(format!("{}/api/v1/webhooks", alc.url()))
        .bearer_auth(token)
        .json(&json!({ "name": "n", "url": url, "event": "lead.processed" }))
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success());
    answer.json().await.expect("JSON")
}

#[tokio::test]
async fn a_code_works_once_for_the_verifier_it_was_asked_with() {
    let alc = Alc::start().await.unwrap();
    let back = consent(&alc, "the-verifier").await;
    assert_eq!(back["state"], "s&1");
    assert_eq!(exchange(&alc, &back["code"], "another-verifier").await.1["error"], "invalid_grant");
    let (status, tokens) = exchange(&alc, &back["code"], "the-verifier").await;
    assert_eq!((status, &tokens["expires_in"]), (200, &json!(3600)));
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(send(&alc, access, "k", "r").await.0, 201);
    // A code that comes twice ends what it gave.
    assert_eq!(exchange(&alc, &back["code"], "the-verifier").await.0, 400);
    assert_eq!(send(&alc, access, "k2", "r").await.0, 401);
}

#[tokio::test]
async fn refresh_rotates_when_told_and_tokens_expire_by_its_clock() {
    let alc = Alc::start().await.unwrap();
    let code = consent(&alc, "v").await["code"].clone();
    let (_, tokens) = exchange(&alc, &code, "v").await;
    let first = tokens["refresh_token"].as_str().unwrap();
    let refresh = |token_: String| {
        let alc = alc.clone();
        async move { token(&alc, &[("grant_type", "refresh_token"), ("refresh_token", &token_)]).await }
    };
    let (_, second) = refresh(first.to_owned()).await;
    assert_eq!(refresh(first.to_owned()).await.1["error"], "invalid_grant");
    alc.configure(|settings| settings.rotate_refresh_tokens = false);
    let (status, third) = refresh(second["refresh_token"].as_str().unwrap().to_owned()).await;
    assert_eq!((status, third.get("refresh_token")), (200, None));
    let access = third["access_token"].as_str().unwrap();
    let now: Timestamp = alc.server().time().now();
    alc.set_time(Some(now + jiff::SignedDuration::from_secs(3601)));
    assert_eq!(send(&alc, access, "k", "r").await.0, 401);
}

#[tokio::test]
async fn consent_can_be_asked_for_and_denied() {
    let alc = Alc::start().await.unwrap();
    alc.configure(|settings| settings.consent = Consent::Deny);
    assert_eq!(consent(&alc, "v").await["error"], "access_denied");
    alc.configure(|settings| settings.consent = Consent::Ask);
    let fields =
        [("response_type", "code"), ("client_id", "alc-client"), ("redirect_uri", REDIRECT), ("state", "a\"b")];
    let mut url = url::Url::parse(&alc.authorize_url()).unwrap();
    url.query_pairs_mut().extend_pairs(fields);
    let page = client().get(url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("id=\"allow\"") && page.contains("a&quot;b"));
    let mut form = fields.to_vec();
    form.push(("decision", "allow"));
    let answer = client().post(alc.authorize_url()).form(&form).send().await.unwrap();
    assert!(answer.headers()["location"].to_str().unwrap().contains("code="));
}

#[tokio::test]
async fn a_rich_alc_honours_keys_and_looks_up() {
    let alc = Alc::start().await.unwrap();
    let token = alc.issue_access_token();
    let first = send(&alc, &token, "k1", "r1").await;
    assert_eq!(send(&alc, &token, "k1", "r1").await, first);
    assert_eq!(send(&alc, &token, "k1", "r2").await.0, 422);
    send(&alc, &token, "k2", "r1").await;
    assert_eq!(alc.leads_of("r1").len(), 2);
    let list: Value = client()
        .get(format!("{}/api/v1/leads?recordId=r1", alc.url()))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(list["leads"][0], json!({ "id": first.1["id"], "recordId": "r1", "status": "processing" }));
}

#[tokio::test]
async fn a_minimal_alc_has_only_the_known_part() {
    let alc = Alc::start_minimal().await.unwrap();
    let token = alc.issue_access_token();
    let (_, first) = send(&alc, &token, "k1", "r1").await;
    let (_, again) = send(&alc, &token, "k1", "r1").await;
    assert_ne!(first["id"], again["id"]);
    let lead = format!("leads/{}", first["id"].as_str().unwrap());
    for (path, status) in [("leads?recordId=r1", 405), (lead.as_str(), 404), ("webhooks", 405)] {
        let answer = client().get(format!("{}/api/v1/{path}", alc.url())).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    let other = Alc::start().await.unwrap();
    let webhook = register(&alc, &token, &other.url()).await;
    assert!(webhook.get("secret").is_none());
    let answer = alc.call_back(Callback::new("r1", "qualified")).await;
    assert_eq!(
        serde_json::from_str::<Value>(&answer.sent).unwrap(),
        json!({ "record_id": "r1", "status": "qualified" })
    );
    let seen = &other.journal().requests("unknown")[0];
    assert_eq!((seen.header("webhook-signature"), answer.status), (None, 404));
    assert_eq!(client().post(alc.revoke_url()).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn callbacks_are_signed_as_standard_webhooks_unless_told_otherwise() {
    let alc = Alc::start().await.unwrap();
    let token = alc.issue_access_token();
    let other = Alc::start().await.unwrap();
    let webhook = register(&alc, &token, &other.url()).await;
    send(&alc, &token, "k", "r1").await;
    let verifier = standardwebhooks::Webhook::new(webhook["secret"].as_str().unwrap()).unwrap();
    let right = alc.call_back(Callback::new("r1", "qualified")).await;
    let body: Value = serde_json::from_str(&right.sent).unwrap();
    assert_eq!((&body["lead_id"], &body["event"]), (&json!(alc.leads()[0].id), &json!("lead.processed")));
    alc.call_back(Callback::new("r1", "qualified").message_id(&right.message_id)).await;
    alc.call_back(Callback::new("r1", "qualified").wrongly_signed()).await;
    alc.call_back(Callback::new("r1", "qualified").timestamp(Timestamp::UNIX_EPOCH)).await;
    alc.call_back(Callback::new("r1", "qualified").unsigned()).await;
    let verdicts: Vec<_> = other
        .journal()
        .requests("unknown")
        .iter()
        .map(|seen| {
            let mut headers = reqwest::header::HeaderMap::new();
            for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
                if let Some(value) = seen.header(name) {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            verifier.verify(seen.body.as_bytes(), &headers).is_ok()
        })
        .collect();
    assert_eq!(verdicts, [true, true, false, false, false]);
    let ids: Vec<_> = alc.callbacks().into_iter().map(|callback| callback.message_id).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2]);
}

#[tokio::test]
async fn a_deleted_webhook_is_gone_but_can_still_be_called() {
    let alc = Alc::start().await.unwrap();
    let token = alc.issue_access_token();
    let other = Alc::start().await.unwrap();
    let webhook = register(&alc, &token, &other.url()).await;
    let id = webhook["webhook_id"].as_str().unwrap();
    let delete = || client().delete(format!("{}/api/v1/webhooks/{id}", alc.url())).bearer_auth(&token).send();
    assert_eq!(
        (delete().await.unwrap().status(), delete().await.unwrap().status()),
        (204.try_into().unwrap(), 404.try_into().unwrap())
    );
    assert!(alc.webhooks().is_empty());
    assert_eq!(alc.call_back(Callback::new("r1", "late").to(id)).await.status, 404);
    assert_eq!(other.journal().count("unknown"), 1);
}
