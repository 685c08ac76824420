//! ALC as an OAuth 2.0 authorization server, of which we are the client (RFC 6749, PKCE by RFC 7636).
//!
//! Owns the requests to ALC's token and revocation endpoints and what their answers mean for the grant. Promises that
//! only a clear `invalid_grant` declares a grant dead, that token values fit into a header, and that neither a token
//! nor the client's secret appears in an error.

#[cfg(test)]
mod tests;
mod token_response;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope, TokenResponse as _,
    TokenUrl,
    basic::{BasicClient, BasicErrorResponse, BasicTokenResponse},
};
use reqwest::{
    Method, RequestBuilder,
    header::{ACCEPT, CONTENT_TYPE},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::upstream::{Answer, Caller};

/// The most that is read of an answer, in bytes.
const ANSWER_CAP: usize = 64 * 1024;

/// What the token endpoint gave.
#[derive(Clone)]
pub struct Tokens {
    /// The bearer token.
    pub access: SecretString,
    /// `None`: the one before stays good.
    pub refresh: Option<SecretString>,
    /// `None`: unknown, to be taken as an hour.
    pub expires_in: Option<Duration>,
}

/// Why there are no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// `invalid_grant`: this code or refresh token is dead.
    #[error("the grant is dead (invalid_grant)")]
    InvalidGrant,
    /// Any other OAuth error: somebody has to look at our client's settings.
    #[error("the token endpoint refused: {error}")]
    Refused {
        /// The RFC 6749 §5.2 code, or the status.
        error: String,
    },
    /// No clear answer; try again.
    #[error("no clear answer from the token endpoint: {detail}")]
    Unavailable {
        /// Why, without secrets.
        detail: String,
    },
}

/// How the client authenticates at the token endpoint (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuthentication {
    /// HTTP Basic.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the body.
    Post,
}

/// What ALC and we have agreed on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// ALC's consent page.
    pub authorize_url: Url,
    /// ALC's token endpoint.
    pub token_url: Url,
    /// ALC's revocation endpoint (RFC 7009), if there is one.
    pub revoke_url: Option<Url>,
    /// Our client id at ALC.
    pub client_id: String,
    /// Our client secret at ALC.
    pub client_secret: SecretString,
    /// The scopes to ask for; none: no `scope` parameter.
    pub scopes: Vec<String>,
    /// How to authenticate.
    pub client_authentication: ClientAuthentication,
    /// `{PUBLIC_URL}/oauth/callback`.
    pub redirect_uri: Url,
}

/// The client side of ALC's OAuth endpoints. Clones share connections.
#[derive(Clone)]
pub struct OAuth {
    caller: Caller,
    settings: Arc<Settings>,
    client: Arc<OAuth2Client>,
}

type OAuth2Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// Where to send the browser, and what to remember.
pub struct Authorization {
    /// ALC's consent page, with our `state` and S256 challenge.
    pub url: Url,
    /// The PKCE verifier for [`OAuth::exchange`].
    pub verifier: SecretString,
}

impl OAuth {
    /// `caller` brings the time limit of one attempt.
    pub fn new(caller: Caller, settings: Settings) -> Self {
        let client = BasicClient::new(ClientId::new(settings.client_id.clone()))
            .set_client_secret(ClientSecret::new(settings.client_secret.expose_secret().to_owned()))
            .set_auth_uri(AuthUrl::from_url(settings.authorize_url.clone()))
            .set_token_uri(TokenUrl::from_url(settings.token_url.clone()))
            .set_redirect_uri(RedirectUrl::from_url(settings.redirect_uri.clone()))
            .set_auth_type(match settings.client_authentication {
                ClientAuthentication::Basic => AuthType::BasicAuth,
                ClientAuthentication::Post => AuthType::RequestBody,
            });
        Self { caller, settings: Arc::new(settings), client: Arc::new(client) }
    }

    /// RFC 6749 §4.1.1 with RFC 7636 (S256).
    pub fn authorize(&self, state: &str) -> Authorization {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, _) = self
            .client
            .authorize_url(|| CsrfToken::new(state.to_owned()))
            .add_scopes(self.settings.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(challenge)
            .url();
        Authorization { url, verifier: SecretString::from(verifier.into_secret()) }
    }

    /// RFC 6749 §4.1.3. A code can be exchanged once: after [`TokenError::Unavailable`] a repeat may end as
    /// [`TokenError::InvalidGrant`].
    pub async fn exchange(&self, code: &str, verifier: &SecretString) -> Result<Tokens, TokenError> {
        let http = self.bridge("exchange_code");
        let request = self
            .client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()));
        tokens(request.request_async(&http).await)
    }

    /// RFC 6749 §6.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<Tokens, TokenError> {
        let http = self.bridge("refresh_token");
        let refresh_token = RefreshToken::new(refresh_token.expose_secret().to_owned());
        tokens(self.client.exchange_refresh_token(&refresh_token).request_async(&http).await)
    }

    /// RFC 7009; done at once where no revocation endpoint is set. An unknown token is done too.
    pub async fn revoke(&self, token: &SecretString) -> Result<(), TokenError> {
        // The crate revokes over https only, and a loopback ALC may be http.
        let Some(url) = self.settings.revoke_url.clone() else { return Ok(()) };
        let Settings { client_id, client_secret, .. } = self.settings.as_ref();
        let mut form = vec![("token", token.expose_secret())];
        let mut request = self.caller.request(Method::POST, url).header(ACCEPT, "application/json");
        match self.settings.client_authentication {
            ClientAuthentication::Basic => {
                // RFC 6749 §2.3.1: both are form-encoded before they become user and password.
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                request = request.basic_auth(encode(client_id), Some(encode(client_secret.expose_secret())));
            }
            ClientAuthentication::Post => {
                form.extend([("client_id", client_id.as_str()), ("client_secret", client_secret.expose_secret())]);
            }
        }
        let answer = self.call("revoke_token", request.form(&form)).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        match refusal(&answer) {
            TokenError::InvalidGrant => Ok(()),
            TokenError::Refused { error } if error == "invalid_token" => Ok(()),
            error => Err(error),
        }
    }

    /// [`OAuth::token_request`] as the `oauth2` crate takes it. Owns all it needs: with a borrow in it the compiler
    /// cannot see that the crate's future is `Send`, and nobody could spawn an exchange.
    fn bridge(
        &self,
        operation: &'static str,
    ) -> impl Fn(oauth2::HttpRequest) -> BoxFuture<'static, Result<oauth2::HttpResponse, TokenError>> + Send + Sync + use<>
    {
        let this = self.clone();
        move |request| {
            let this = this.clone();
            Box::pin(async move { this.token_request(operation, request).await })
        }
    }

    /// The bridge from the `oauth2` crate to our HTTP client: what comes back to the crate is always a well-formed
    /// success of RFC 6749 §5.1; whatever else an upstream answers is named here.
    async fn token_request(
        &self,
        operation: &'static str,
        request: oauth2::HttpRequest,
    ) -> Result<oauth2::HttpResponse, TokenError> {
        let request = reqwest::Request::try_from(request).map_err(|_| unavailable("the request cannot be built"))?;
        let answer = self.call(operation, self.caller.ready(request)).await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer));
        }
        let body = answer.json().map_err(|error| unavailable(&error.to_string()))?;
        if body.get("access_token").is_none() && body.get("error").is_some() {
            // Some servers tell of errors with a 200.
            return Err(named(&body).unwrap_or_else(|| unavailable("the answer holds neither tokens nor an error")));
        }
        let body = token_response::tidy(&body)?;
        oauth2::http::Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|_| unavailable("the answer cannot be read"))
    }

    async fn call(&self, operation: &'static str, request: RequestBuilder) -> Result<Answer, TokenError> {
        let answer = self.caller.call_capped(operation, request, ANSWER_CAP).await;
        answer.map_err(|error| unavailable(&error.to_string()))
    }
}

/// What the crate made of an answer that [`OAuth::token_request`] let through.
fn tokens(
    result: Result<BasicTokenResponse, RequestTokenError<TokenError, BasicErrorResponse>>,
) -> Result<Tokens, TokenError> {
    let response = result.map_err(|error| match error {
        RequestTokenError::Request(error) => error,
        _ => unavailable("the answer cannot be read"),
    })?;
    Ok(Tokens {
        access: SecretString::from(response.access_token().secret().as_str()),
        refresh: response.refresh_token().map(|token| SecretString::from(token.secret().as_str())),
        expires_in: response.expires_in(),
    })
}

/// What an answer that is no 2xx means. The status decides whether it is an answer at all: a proxy's 502 with a
/// copied `invalid_grant` must not disconnect anybody.
fn refusal(answer: &Answer) -> TokenError {
    let status = answer.status.as_u16();
    if !(400..500).contains(&status) || matches!(status, 408 | 425 | 429) {
        return unavailable(&format!("status {status}"));
    }
    if !answer.is_complete() {
        return unavailable(&format!("status {status}, and its body was cut"));
    }
    let body = answer.json().unwrap_or_default();
    named(&body).unwrap_or_else(|| TokenError::Refused { error: format!("status {status}") })
}

/// The error that a body names (RFC 6749 §5.2); `None`: it names none.
fn named(body: &Value) -> Option<TokenError> {
    let error = body.get("error")?.as_str()?;
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    Some(match error {
        "invalid_grant" => TokenError::InvalidGrant,
        // Not of the token endpoint by the letter of the RFC (§4.1.2.1), and used there all the same.
        "temporarily_unavailable" | "server_error" | "slow_down" => unavailable(error),
        _ if !error.is_empty() && error.len() <= 64 && error.bytes().all(is_code) => {
            TokenError::Refused { error: error.to_owned() }
        }
        _ => return None,
    })
}

fn unavailable(detail: &str) -> TokenError {
    TokenError::Unavailable { detail: detail.to_owned() }
}
