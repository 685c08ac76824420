//! ALC as an OAuth 2.0 authorization server, of which we are the client (RFC 6749, PKCE by RFC 7636).
//!
//! Owns the requests to ALC's token and revocation endpoints and what their answers mean for the grant. Promises that
//! only `invalid_grant` declares a grant dead at once, that token values fit into a header, and that neither a token
//! nor the client's secret appears in an error.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope, TokenResponse as _,
    TokenUrl,
    basic::{BasicClient, BasicErrorResponse, BasicTokenResponse},
};
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use secrecy::{ExposeSecret as _, SecretString};
use url::{Url, form_urlencoded};

pub use crate::upstream::tokens::{TokenError, Tokens};
use crate::upstream::{
    Caller,
    tokens::{self, unavailable},
};

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
        read(request.request_async(&http).await)
    }

    /// RFC 6749 §6.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<Tokens, TokenError> {
        let http = self.bridge("refresh_token");
        let refresh_token = RefreshToken::new(refresh_token.expose_secret().to_owned());
        read(self.client.exchange_refresh_token(&refresh_token).request_async(&http).await)
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
        let answer = tokens::call(&self.caller, "revoke_token", request.form(&form)).await?;
        // Whatever the body is: the client ignores it (RFC 7009 §2.2).
        if answer.status.is_success() {
            return Ok(());
        }
        match tokens::refusal(&answer) {
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
    /// success of RFC 6749 §5.1; whatever else an upstream answers is named one floor down.
    async fn token_request(
        &self,
        operation: &'static str,
        request: oauth2::HttpRequest,
    ) -> Result<oauth2::HttpResponse, TokenError> {
        let request = reqwest::Request::try_from(request).map_err(|_| unavailable("the request cannot be built"))?;
        let body = tokens::ask(&self.caller, operation, self.caller.ready(request)).await?;
        oauth2::http::Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|_| unavailable("the answer cannot be read"))
    }
}

/// What the crate made of an answer that [`OAuth::token_request`] let through.
fn read(
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
