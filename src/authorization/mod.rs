//! The authorization server towards Attio (RFC 6749): which clients may use this service, and how they prove it.
//!
//! Owns the way from the app's connect button through the consent pages to tokens of ours, and those tokens. The token
//! that the Attio app holds is *ours*; ALC's tokens never leave this service. Promises:
//!
//! - beginning stores nothing, nor does a consent that ALC refused; a state is taken once, in the browser that began
//!   ([`attempt`], [`kept`]);
//! - no workspace hears of a consent before the client has redeemed its code;
//! - no browser is sent to a URI that is not registered ([`AuthorizeFault`]);
//! - the workspace is proven by Attio, never taken from a request;
//! - tokens that were granted and that we could not keep are revoked.
//!
//! Codes, refresh tokens and connections themselves live one floor down, in [`crate::connections`].

mod again;
pub mod attempt;
mod callback;
mod client;
mod cookies;
mod grants;
mod guesses;
mod kept;
pub mod keys;
mod limit;
mod metadata;
mod params;
mod refusals;
mod request;
pub mod tokens;
mod verified;

use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use self::{
    attempt::Attempt, client::Client, grants::Grant, guesses::Guesses, keys::SigningKeys, limit::Limit, params::Params,
    request::AuthorizationRequest, tokens::AccessTokens,
};
pub use self::{
    attempt::{Provider, StateFault},
    callback::{CompleteFault, Completed},
    grants::{Granted, OAuthError},
    kept::examine,
    metadata::Metadata,
    request::{AuthorizeFault, MAX_CLIENT_STATE},
    tokens::{BadToken, Subject},
};
use crate::{
    alc::oauth::OAuth,
    clock::{SharedClock, later},
    connections::{Connections, RedeemError, RefreshTokenError},
    ids::{OpaqueToken, random_secret},
    lifecycle::{self, Lifecycle},
    sealing::Sealer,
    store::{Store, StoreError},
    telemetry::warn_sparingly,
};

/// What the operator configured.
pub struct Settings {
    /// What browsers and Attio reach us by; the issuer, without a slash at its end.
    pub public_url: Url,
    /// The Attio app's connection: our client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// Where it may be redirected to.
    pub redirect_uris: Vec<String>,
}

/// The authorization server. Clones share everything.
#[derive(Clone)]
pub struct Authorization {
    inner: Arc<Inner>,
}

struct Inner {
    public_url: Url,
    issuer: String,
    /// Whether cookies are for TLS only.
    secure: bool,
    client: Client,
    guesses: Guesses,
    /// Codes that browsers bring from ALC.
    exchanges: Limit,
    tokens: AccessTokens,
    sealer: Arc<Sealer>,
    clock: SharedClock,
    store: Store,
    alc: OAuth,
    connections: Connections,
    lifecycle: Lifecycle,
}

/// Where to send the browser to begin. No `Debug`: verifier, states and a seal are in it.
pub struct Begun {
    /// ALC's consent page.
    pub location: String,
    /// `Set-Cookie`, each: the attempt, and what gives way to it.
    pub set_cookies: Vec<String>,
}

/// What the rest of the house gives the authorization server to work with.
pub struct Parts {
    /// Signs and verifies access tokens.
    pub keys: SigningKeys,
    /// Seals attempts.
    pub sealer: Arc<Sealer>,
    /// Tells what has expired.
    pub clock: SharedClock,
    /// Remembers used states.
    pub store: Store,
    /// ALC's OAuth endpoints.
    pub alc: OAuth,
    /// Where connections live.
    pub connections: Connections,
    /// Waits for callbacks under way.
    pub lifecycle: Lifecycle,
}

impl Authorization {
    /// The authorization server of `settings`.
    pub fn new(settings: Settings, parts: Parts) -> Self {
        let issuer = settings.public_url.as_str().trim_end_matches('/').to_owned();
        let inner = Inner {
            secure: settings.public_url.scheme() == "https",
            client: Client::new(settings.client_id, settings.client_secret, settings.redirect_uris),
            guesses: Guesses::new(),
            exchanges: Limit::new(),
            tokens: AccessTokens::new(parts.keys, &issuer),
            public_url: settings.public_url,
            issuer,
            sealer: parts.sealer,
            clock: parts.clock,
            store: parts.store,
            alc: parts.alc,
            connections: parts.connections,
            lifecycle: parts.lifecycle,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The name of this server: `iss`, and what the URLs of all endpoints begin with.
    pub fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    /// Whether a `Host` header names the host of our public URL, to which the callback will come.
    pub fn is_public_host(&self, host: &str) -> bool {
        let public = &self.inner.public_url;
        Url::parse(&format!("{}://{host}/", public.scheme())).is_ok_and(|given| {
            given.host() == public.host() && given.port_or_known_default() == public.port_or_known_default()
        })
    }

    /// RFC 8414.
    pub fn metadata(&self) -> Metadata {
        Metadata::of(&self.inner.issuer)
    }

    /// RFC 7517.
    pub fn jwks(&self) -> JwkSet {
        self.inner.tokens.keys().jwks()
    }

    /// The workspace and the connection that a bearer token speaks for.
    pub fn verify(&self, token: &SecretString) -> Result<Subject, BadToken> {
        self.inner.tokens.verify(token, self.inner.clock.now())
    }

    /// The workspace and the connection that a bearer token speaks for, or spoke for before it expired: for removal
    /// only.
    pub fn verify_ignoring_expiry(&self, token: &SecretString) -> Result<Subject, BadToken> {
        self.inner.tokens.verify_ignoring_expiry(token)
    }

    /// `GET /oauth/authorize` (RFC 6749 §4.1.1), by the browser that has these `Cookie` headers. Stores nothing.
    pub fn begin(&self, query: &str, cookies: &[&str]) -> Result<Begun, AuthorizeFault> {
        let inner = &self.inner;
        let request = AuthorizationRequest::parse(&inner.client, query, &inner.issuer)?;
        let state = random_secret();
        let state = state.expose_secret();
        let authorization = inner.alc.authorize(state);
        let attempt = Attempt {
            provider: Provider::Alc,
            expires_at: later(inner.clock.now(), attempt::LIFETIME),
            redirect_uri_print: client::fingerprint(request.redirect_uri),
            client_state: request.state,
            code_challenge: request.code_challenge,
            verifier: authorization.verifier,
        };
        let cookie = attempt.to_cookie(&inner.sealer, state, inner.secure);
        let mut set_cookies = cookies::giving_way(&inner.sealer, cookies, inner.secure, &cookie);
        set_cookies.insert(0, cookie);
        Ok(Begun { location: authorization.url.into(), set_cookies })
    }

    /// `POST /oauth/token` (RFC 6749 §4.1.3, §6): `authorization` is the header, `body` the form.
    pub async fn token(&self, authorization: Option<&str>, body: &[u8]) -> Result<Granted, OAuthError> {
        let inner = &self.inner;
        let params = Params::parse(body);
        inner.guesses.count(inner.client.authenticate(authorization, &params))?;
        let (subject, refresh_token) = match Grant::parse(&params)? {
            Grant::Code { code, redirect_uri, verifier } => {
                // To its end also when the client hangs up: a code that was used up and gave nothing is lost.
                let this = self.clone();
                let redeem = async move { this.redeem(&code, redirect_uri.as_deref(), verifier.as_deref()).await };
                let redeemed = inner.lifecycle.spawn(redeem).await.unwrap_or_else(|error| lifecycle::resume(error));
                let redeemed = redeemed.map_err(redeem_error)?;
                let subject = Subject { workspace: redeemed.workspace, connection: redeemed.connection };
                (subject, redeemed.refresh_token)
            }
            Grant::Refresh(token) => (self.holder(&token).await?, token),
        };
        Ok(Granted {
            access_token: inner.tokens.issue(subject, inner.clock.now()),
            refresh_token: refresh_token.to_text(),
            expires_in: tokens::LIFETIME,
        })
    }

    /// `POST /oauth/revoke` (RFC 7009): the end of the token's connection. What is no token of ours is done already.
    /// Runs to its end also when the client hangs up.
    pub async fn revoke(&self, authorization: Option<&str>, body: &[u8]) -> Result<(), OAuthError> {
        let inner = &self.inner;
        let params = Params::parse(body);
        inner.guesses.count(inner.client.authenticate(authorization, &params))?;
        let token = params.get("token")?.ok_or(OAuthError::InvalidRequest("token is missing"))?;
        // An access token is in no list that it could be struck off; saying so beats pretending (RFC 7009 §2.2.1).
        if self.verify(&SecretString::from(token)).is_ok() {
            return Err(OAuthError::UnsupportedTokenType);
        }
        let Some(token) = OpaqueToken::parse(token) else { return Ok(()) };
        let this = self.clone();
        let removal = inner.lifecycle.spawn(async move { this.remove_holder(&token).await });
        removal.await.unwrap_or_else(|error| lifecycle::resume(error))
    }

    async fn remove_holder(&self, token: &OpaqueToken) -> Result<(), OAuthError> {
        match self.holder(token).await {
            Ok(Subject { workspace, connection }) => {
                self.inner.connections.remove(workspace, connection).await.map_err(|error| store_error(&error))
            }
            Err(OAuthError::InvalidGrant) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    async fn holder(&self, refresh_token: &OpaqueToken) -> Result<Subject, OAuthError> {
        let (workspace, connection) =
            self.inner.connections.check_refresh_token(refresh_token).await.map_err(refresh_error)?;
        Ok(Subject { workspace, connection })
    }
}

fn redeem_error(error: RedeemError) -> OAuthError {
    match error {
        RedeemError::InvalidGrant(why) => {
            tracing::warn!(why, "a code was refused");
            OAuthError::InvalidGrant
        }
        RedeemError::Store(error) => {
            tracing::warn!(%error, "a code may have been redeemed without an answer");
            OAuthError::CodeUnavailable
        }
    }
}

fn refresh_error(error: RefreshTokenError) -> OAuthError {
    match error {
        RefreshTokenError::InvalidGrant => OAuthError::InvalidGrant,
        RefreshTokenError::Store(error) => store_error(&error),
    }
}

fn store_error(error: &StoreError) -> OAuthError {
    warn_sparingly!(%error, "the store could not be asked for a grant");
    OAuthError::Unavailable
}
