//! Attio as an OAuth 2.0 authorization server, of which we are the client.
//!
//! Owns the requests to Attio's token and revocation endpoints. Attio's tokens do not expire and come without a refresh
//! token; Attio documents neither scopes to ask for nor PKCE, so neither is sent. Promises that neither a token nor the
//! client's secret appears in an error or in `Debug`.

use std::sync::Arc;

use reqwest::{Method, header::ACCEPT};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

pub use crate::upstream::tokens::TokenError;
use crate::upstream::{
    Caller,
    tokens::{self, unavailable},
};

/// What Attio and we have agreed on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Attio's consent page.
    pub authorize_url: Url,
    /// Attio's token endpoint.
    pub token_url: Url,
    /// Attio's revocation endpoint.
    pub revoke_url: Url,
    /// Our client id at Attio.
    pub client_id: String,
    /// Our client secret at Attio.
    pub client_secret: SecretString,
    /// `{PUBLIC_URL}/oauth/callback/attio`.
    pub redirect_uri: Url,
}

/// The client side of Attio's OAuth endpoints. Clones share connections.
#[derive(Clone)]
pub struct OAuth {
    caller: Caller,
    settings: Arc<Settings>,
}

impl OAuth {
    /// `caller` brings the time limit of one attempt.
    pub fn new(caller: Caller, settings: Settings) -> Self {
        Self { caller, settings: Arc::new(settings) }
    }

    /// Attio's consent page, with our `state` (RFC 6749 §4.1.1).
    pub fn authorize(&self, state: &str) -> Url {
        let Settings { authorize_url, client_id, redirect_uri, .. } = self.settings.as_ref();
        let mut url = authorize_url.clone();
        url.query_pairs_mut()
            .append_pair("client_id", client_id)
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", redirect_uri.as_str())
            .append_pair("state", state);
        url
    }

    /// RFC 6749 §4.1.3: the token that a code is good for, once.
    pub async fn exchange(&self, code: &SecretString) -> Result<SecretString, TokenError> {
        let Settings { token_url, redirect_uri, .. } = self.settings.as_ref();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", redirect_uri.as_str()),
        ];
        let answer = tokens::ask(&self.caller, "exchange_code", self.post(token_url, &form)).await?;
        let token = answer.get("access_token").and_then(Value::as_str);
        token.map(SecretString::from).ok_or_else(|| unavailable("the answer holds no access token"))
    }

    /// Gives a token back. Attio says 204; 400 or 404 to one that it does not know (any more), which is done too. A 400
    /// that is about us is not: the token still works.
    pub async fn revoke(&self, token: &SecretString) -> Result<(), TokenError> {
        let request = self.post(&self.settings.revoke_url, &[("token", token.expose_secret())]);
        let answer = tokens::call(&self.caller, "revoke_token", request).await?;
        match answer.status.as_u16() {
            200..=299 | 404 => Ok(()),
            400 => match tokens::refusal(&answer) {
                TokenError::Refused { error } if error == "invalid_client" || error == "unauthorized_client" => {
                    Err(TokenError::Refused { error })
                }
                _ => Ok(()),
            },
            _ => Err(tokens::refusal(&answer)),
        }
    }

    /// Attio takes the client's credentials in the body.
    fn post(&self, url: &Url, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let Settings { client_id, client_secret, .. } = self.settings.as_ref();
        let client = [("client_id", client_id.as_str()), ("client_secret", client_secret.expose_secret())];
        let form: Vec<_> = client.iter().chain(form).collect();
        self.caller.request(Method::POST, url.clone()).header(ACCEPT, "application/json").form(&form)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use mockito::{Matcher, Mock, Server, ServerGuard};

    use super::*;
    use crate::upstream::testing::{caller, clock};

    fn oauth(base: &str) -> OAuth {
        let at = |path: &str| Url::parse(&format!("{base}{path}")).expect("a URL");
        let settings = Settings {
            authorize_url: at("/authorize?theme=dark"),
            token_url: at("/oauth/token"),
            revoke_url: at("/oauth/revoke"),
            client_id: "us".to_owned(),
            client_secret: SecretString::from("our secret"),
            redirect_uri: at("/oauth/callback/attio"),
        };
        OAuth::new(caller(&clock()), settings)
    }

    async fn answering(path: &str, sent: &[(&str, &str)], status: usize, body: &str) -> (ServerGuard, Mock) {
        let mut server = Server::new_async().await;
        let pairs = sent.iter().map(|(key, value)| Matcher::UrlEncoded((*key).into(), (*value).into()));
        let mock = server.mock("POST", path).match_body(Matcher::AllOf(pairs.collect())).with_status(status);
        let mock = mock.with_body(body).create_async().await;
        (server, mock)
    }

    #[test]
    fn the_browser_is_sent_with_our_state_and_without_scopes() {
        let url = oauth("https://attio.example").authorize("state-1");
        let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert!(url.as_str().starts_with("https://attio.example/authorize?theme=dark&"), "{url}");
        let redirect_uri = "https://attio.example/oauth/callback/attio";
        for (name, value) in
            [("client_id", "us"), ("response_type", "code"), ("state", "state-1"), ("redirect_uri", redirect_uri)]
        {
            assert_eq!(query[name], value);
        }
        assert!(!query.contains_key("scope"), "{url}");
    }

    #[tokio::test]
    async fn a_code_is_exchanged_for_a_token_with_the_client_in_the_body() {
        let sent = [
            ("client_id", "us"),
            ("client_secret", "our secret"),
            ("grant_type", "authorization_code"),
            ("code", "code-1"),
        ];
        let answer = r#"{"access_token": "token-1", "token_type": "Bearer"}"#;
        let (server, mock) = answering("/oauth/token", &sent, 200, answer).await;
        let token = oauth(&server.url()).exchange(&SecretString::from("code-1")).await.expect("a token");
        assert_eq!(token.expose_secret(), "token-1");
        mock.assert_async().await;
    }

    #[tokio::test]
    async fn an_answer_without_a_token_is_named() {
        for (status, body, expected) in [
            (400, r#"{"error": "invalid_grant"}"#, TokenError::InvalidGrant),
            (401, r#"{"error": "invalid_client"}"#, TokenError::Refused { error: "invalid_client".to_owned() }),
            (502, r#"{"error": "invalid_grant"}"#, unavailable("status 502")),
            (200, "{}", unavailable("the answer holds neither tokens nor an error")),
            (401, r#"{"error": {"code": "INVALID_GRANT"}}"#, TokenError::InvalidGrant),
        ] {
            let (server, _mock) = answering("/oauth/token", &[], status, body).await;
            let exchanged = oauth(&server.url()).exchange(&SecretString::from("code-1")).await;
            assert_eq!(exchanged.err(), Some(expected), "{status} {body}");
        }
    }

    #[tokio::test]
    async fn a_token_that_attio_does_not_know_is_given_back_already() {
        for (status, done) in [(204, true), (400, true), (404, true), (401, false), (429, false), (500, false)] {
            let (server, mock) = answering("/oauth/revoke", &[("token", "token-1")], status, "").await;
            let revoked = oauth(&server.url()).revoke(&SecretString::from("token-1")).await;
            assert_eq!(revoked.is_ok(), done, "{status}: {revoked:?}");
            mock.assert_async().await;
        }
    }

    #[tokio::test]
    async fn a_refusal_of_ourselves_gives_nothing_back() {
        for (error, done) in [("invalid_token", true), ("invalid_client", false), ("unauthorized_client", false)] {
            let body = format!(r#"{{"error": "{error}"}}"#);
            let (server, _mock) = answering("/oauth/revoke", &[("token", "token-1")], 400, &body).await;
            let revoked = oauth(&server.url()).revoke(&SecretString::from("token-1")).await;
            assert_eq!(revoked.is_ok(), done, "{error}: {revoked:?}");
        }
    }
}
