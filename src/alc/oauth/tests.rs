//! ALC's authorization server, well-behaved and otherwise.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mockito::{Matcher, Server, ServerGuard};
use serde_json::json;

use super::*;
use crate::upstream::testing::{answering, caller, clock};

fn settings(base: &str) -> Settings {
    let url = |path: &str| format!("{base}{path}").parse().expect("a URL");
    Settings {
        authorize_url: url("/authorize?tenant=acme"),
        token_url: url("/token"),
        revoke_url: Some(url("/revoke")),
        client_id: "our client".to_owned(),
        client_secret: SecretString::from("our:s3cret"),
        scopes: vec!["leads".to_owned(), "webhooks".to_owned()],
        client_authentication: ClientAuthentication::Basic,
        redirect_uri: "https://us.example/oauth/callback".parse().expect("a URL"),
    }
}

fn oauth(server: &ServerGuard) -> OAuth {
    OAuth::new(caller(&clock()), settings(&server.url()))
}

fn basic() -> String {
    // RFC 6749 §2.3.1: form-encoded first.
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("our+client:our%3As3cret"))
}

fn form(pairs: &[(&str, &str)]) -> Matcher {
    Matcher::AllOf(pairs.iter().map(|(key, value)| Matcher::UrlEncoded((*key).into(), (*value).into())).collect())
}

/// What a refresh makes of an answer.
async fn refreshed(status: usize, body: &str) -> Result<Tokens, TokenError> {
    let mut server = Server::new_async().await;
    let _mock = server.mock("POST", "/token").with_status(status).with_body(body).create_async().await;
    oauth(&server).refresh(&SecretString::from("r-1")).await
}

async fn failed(status: usize, body: &str) -> TokenError {
    refreshed(status, body).await.err().expect("an error")
}

fn refused(error: &str) -> TokenError {
    TokenError::Refused { error: error.to_owned() }
}

#[tokio::test]
async fn the_browser_is_sent_with_our_state_and_a_challenge_whose_verifier_we_keep() {
    let oauth = OAuth::new(caller(&clock()), settings("https://alc.example"));
    let Authorization { url, verifier } = oauth.authorize("state-1");
    let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
    let verifier = verifier.expose_secret();
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    for (key, value) in [
        ("tenant", "acme"),
        ("response_type", "code"),
        ("client_id", "our client"),
        ("redirect_uri", "https://us.example/oauth/callback"),
        ("state", "state-1"),
        ("scope", "leads webhooks"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(query.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(!url.as_str().contains(verifier) && !url.as_str().contains("s3cret"));
    assert_ne!(oauth.authorize("state-1").verifier.expose_secret(), verifier);
    let silent = OAuth::new(caller(&clock()), Settings { scopes: Vec::new(), ..settings("https://alc.example") });
    assert!(!silent.authorize("s").url.as_str().contains("scope"));
}

#[tokio::test]
async fn a_code_is_exchanged_with_its_verifier() {
    let mut server = Server::new_async().await;
    let body = form(&[
        ("grant_type", "authorization_code"),
        ("code", "c-1"),
        ("code_verifier", "v-1"),
        ("redirect_uri", "https://us.example/oauth/callback"),
    ]);
    let mock = server.mock("POST", "/token").match_header("authorization", basic().as_str()).match_body(body);
    let answer = json!({ "access_token": "a-1", "token_type": "Bearer", "refresh_token": "r-1", "expires_in": 600 });
    let mock = mock.with_body(answer.to_string()).create_async().await;
    let tokens = oauth(&server).exchange("c-1", &SecretString::from("v-1")).await.expect("tokens");
    assert_eq!(tokens.access.expose_secret(), "a-1");
    assert_eq!(tokens.refresh.expect("one").expose_secret(), "r-1");
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(600)));
    mock.assert_async().await;
}

#[tokio::test]
async fn the_client_authenticates_in_the_body_where_that_is_agreed() {
    let mut server = Server::new_async().await;
    let secret = [("client_id", "our client"), ("client_secret", "our:s3cret")];
    let refresh = form(&[&secret[..], &[("grant_type", "refresh_token"), ("refresh_token", "r-1")]].concat());
    let token = server.mock("POST", "/token").match_header("authorization", Matcher::Missing).match_body(refresh);
    let token = token.with_body(r#"{"access_token": "a-2"}"#).create_async().await;
    let revoke = form(&[&secret[..], &[("token", "r-1")]].concat());
    let revoke = server.mock("POST", "/revoke").match_header("authorization", Matcher::Missing).match_body(revoke);
    let revoke = revoke.create_async().await;
    let settings = Settings { client_authentication: ClientAuthentication::Post, ..settings(&server.url()) };
    let oauth = OAuth::new(caller(&clock()), settings);
    let tokens = oauth.refresh(&SecretString::from("r-1")).await.expect("tokens");
    assert_eq!(tokens.access.expose_secret(), "a-2");
    assert!(tokens.refresh.is_none() && tokens.expires_in.is_none());
    assert_eq!(oauth.revoke(&SecretString::from("r-1")).await, Ok(()));
    token.assert_async().await;
    revoke.assert_async().await;
}

#[tokio::test]
async fn only_a_clear_invalid_grant_ends_a_grant() {
    let dead = r#"{"error": "invalid_grant", "error_description": "r-1 is dead"}"#;
    for status in [400, 401, 403, 200] {
        assert_eq!(failed(status, dead).await, TokenError::InvalidGrant, "{status}");
    }
    for status in [302, 408, 425, 429, 500, 502, 503] {
        let error = failed(status, dead).await;
        assert!(matches!(error, TokenError::Unavailable { .. }), "{status}: {error:?}");
    }
    let cut = format!("HTTP/1.1 400 X\r\ncontent-length: 999\r\n\r\n{}", &dead[..dead.len() - 9]);
    let url = answering(cut);
    let oauth = OAuth::new(caller(&clock()), settings(url.as_str().trim_end_matches('/')));
    let error = oauth.refresh(&SecretString::from("r-1")).await.err();
    assert!(matches!(error, Some(TokenError::Unavailable { .. })), "{error:?}");
}

#[tokio::test]
async fn other_refusals_are_somebodys_to_look_at() {
    for code in ["invalid_client", "invalid_request", "unauthorized_client", "unsupported_grant_type", "invalid_scope"]
    {
        let body = json!({ "error": code });
        assert_eq!(failed(400, &body.to_string()).await, refused(code));
        assert_eq!(failed(200, &body.to_string()).await, refused(code));
    }
    for body in ["", "<html>", "{}", r#"{"error": "our s3cret"}"#, r#"{"error": {}}"#] {
        assert_eq!(failed(404, body).await, refused("status 404"), "{body}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_to_be_tried_again() {
    for body in ["", "OK", "{}", "[]", "<html>", r#"{"more": 1, "access_token": "a"#, r#"{"access_token": null}"#] {
        let error = failed(200, body).await;
        assert!(matches!(error, TokenError::Unavailable { .. }), "{body}: {error:?}");
    }
    for body in
        [r#"{"access_token": 5}"#, r#"{"access_token": "a\nb"}"#, r#"{"access_token": "a", "token_type": "mac"}"#]
    {
        let error = failed(200, body).await;
        assert!(matches!(error, TokenError::Unusable { .. }), "{body}: {error:?}");
    }
    for code in ["temporarily_unavailable", "server_error"] {
        let error = failed(400, &json!({ "error": code }).to_string()).await;
        assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
    }
    let oauth = OAuth::new(caller(&clock()), settings("http://127.0.0.1:1"));
    let error = oauth.refresh(&SecretString::from("r-1")).await.err();
    assert!(matches!(error, Some(TokenError::Unavailable { .. })), "{error:?}");
}

#[tokio::test]
async fn sloppy_successes_are_successes() {
    for body in [
        json!({ "access_token": "a" }),
        json!({ "access_token": "a", "token_type": "BEARER", "expires_in": "3600", "scope": ["x"] }),
        json!({ "access_token": "a", "token_type": null, "expires_in": 0, "refresh_token": "", "scope": null }),
        json!({ "access_token": "a", "expires_in": -1, "error": null }),
    ] {
        let tokens = refreshed(201, &body.to_string()).await.expect("tokens");
        assert_eq!(tokens.access.expose_secret(), "a", "{body}");
        assert!(tokens.refresh.is_none(), "{body}");
        assert!(tokens.expires_in.is_none_or(|span| span == Duration::from_secs(3600)), "{body}");
    }
    let long = format!(r#"{{"access_token": "a", "refresh_token": "r", "more": "{}"}}"#, "x".repeat(70_000));
    for body in [
        "\u{feff}{\"access_token\": \"a\", \"refresh_token\": \"r\", \"score\": NaN}",
        "access_token=a&refresh_token=r&token_type=bearer&scope=",
        r#"{"data": {"access_token": "a", "refresh_token": "r", "token_type": "BearerToken"}}"#,
        r#"{"accessToken": "a", "refreshToken": "r", "tokenType": "Bearer", "expiresIn": 3600}"#,
        r#"{"result": {"AccessToken": "a", "refresh-token": "r"}}"#,
        r#"[{"access_token": "a", "refresh_token": "r"}]"#,
        r#"Notice: it's odd {"access_token": "a", "refresh_token": "r", "expires_in": "soon"}"#,
        r#"{"access_token": "a", "refresh_token": "r", "user": {"name": "\ud83d"}, }"#,
        &long,
    ] {
        let tokens = refreshed(200, body).await.expect("tokens");
        assert_eq!(tokens.access.expose_secret(), "a", "{body:.80}");
        assert_eq!(tokens.refresh.as_ref().map(SecretString::expose_secret), Some("r"), "{body:.80}");
    }
}

#[tokio::test]
async fn revoking_is_done_when_the_token_is_good_for_nothing() {
    let token = SecretString::from("r-1");
    for (status, body, expected) in [
        (200, "", Ok(())),
        (204, "", Ok(())),
        (400, r#"{"error": "invalid_token"}"#, Ok(())),
        (400, r#"{"error": "invalid_grant"}"#, Ok(())),
        (400, r#"{"error": "unsupported_token_type"}"#, Err(refused("unsupported_token_type"))),
        (401, r#"{"error": "invalid_client"}"#, Err(refused("invalid_client"))),
        (503, "", Err(unavailable("status 503"))),
    ] {
        let mut server = Server::new_async().await;
        let mock = server.mock("POST", "/revoke").match_header("authorization", basic().as_str());
        let mock = mock.match_body(form(&[("token", "r-1")])).with_status(status).with_body(body).create_async().await;
        assert_eq!(oauth(&server).revoke(&token).await, expected, "{status} {body}");
        mock.assert_async().await;
    }
    let without = Settings { revoke_url: None, ..settings("http://127.0.0.1:1") };
    assert_eq!(OAuth::new(caller(&clock()), without).revoke(&token).await, Ok(()));
}
