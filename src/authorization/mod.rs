//! The authorization server towards Attio (RFC 6749): who may use this service, and how they prove it.
//!
//! Owns the way from the app's connect button through ALC's consent page to tokens of ours, and those tokens. The token
//! that the Attio app holds is *ours*; ALC's tokens never leave this service. Promises:
//!
//! - beginning stores nothing; a state is taken once, in the browser that began ([`attempt`]);
//! - nobody is sent to a URI that is not registered ([`AuthorizeFault`]);
//! - the workspace is proven by Attio, never taken from a request;
//! - tokens that ALC gave and that we could not keep are revoked.
//!
//! Codes, refresh tokens and connections themselves live one floor down, in [`crate::connections`].

pub mod attempt;
mod client;
mod grants;
pub mod keys;
mod metadata;
mod params;
mod request;
pub mod tokens;

use std::{sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use jsonwebtoken::jwk::JwkSet;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use self::{
    attempt::{Attempt, UsedState},
    client::Client,
    grants::Grant,
    keys::SigningKeys,
    params::Params,
    request::{AuthorizationRequest, RedirectError, success_location},
    tokens::AccessTokens,
};
pub use self::{
    attempt::{Provider, StateFault},
    grants::{Fault, Granted},
    metadata::Metadata,
    request::{AuthorizeFault, MAX_CLIENT_STATE},
    tokens::{BadToken, Subject},
};
use crate::{
    alc::oauth::{OAuth, TokenError, Tokens},
    clock::{SharedClock, later},
    connections::{Connections, IdentifyError, NewCode, OpenIncomingError, RedeemError, RefreshTokenError},
    ids::{OpaqueToken, WorkspaceId, random_secret},
    lifecycle::Lifecycle,
    sealing::Sealer,
    store::{Change, Commit, Committed, LeaseChange, Leased, Store, StoreError, Versioned, Write},
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
    /// `Set-Cookie`.
    pub set_cookie: String,
}

/// Where to send the browser at the end. No `Debug`: the code is in it.
pub struct Completed {
    /// The client's redirect URI, with `code` or with `error`.
    pub location: String,
    /// `Set-Cookie` that removes the attempt.
    pub clear_cookie: String,
}

/// Why a callback ends with a page instead of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompleteFault {
    /// The state is not good.
    #[error(transparent)]
    State(#[from] StateFault),
    /// The store could not be asked: nothing was connected.
    #[error("the store is unavailable")]
    Unavailable,
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

    /// Who we say we are: `iss`, and what all endpoints begin with.
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

    /// Whom a bearer token speaks for.
    pub fn verify(&self, token: &SecretString) -> Result<Subject, BadToken> {
        self.inner.tokens.verify(token, self.inner.clock.now())
    }

    /// Whom a bearer token speaks for, or spoke for: for removal only.
    pub fn verify_ignoring_expiry(&self, token: &SecretString) -> Result<Subject, BadToken> {
        self.inner.tokens.verify_ignoring_expiry(token)
    }

    /// `GET /oauth/authorize` (RFC 6749 §4.1.1). Stores nothing.
    pub fn begin(&self, query: &str) -> Result<Begun, AuthorizeFault> {
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
        Ok(Begun {
            location: authorization.url.into(),
            set_cookie: attempt.to_cookie(&inner.sealer, state, inner.secure),
        })
    }

    /// `GET /oauth/callback`: what `provider` answered, in the query, to the browser that has these `Cookie` headers.
    /// Runs to its end whoever still waits: a browser that is closed must not leave a grant at ALC that nobody knows.
    pub async fn complete(
        &self,
        provider: Provider,
        query: &str,
        cookies: &[&str],
    ) -> Result<Completed, CompleteFault> {
        let callback = self.callback(provider, query, cookies)?;
        let this = self.clone();
        let task = async move { this.take_and_connect(callback).await };
        self.inner.lifecycle.spawn(task).await.unwrap_or(Err(CompleteFault::Unavailable))
    }

    /// The attempt that a callback belongs to; its state is not taken yet.
    fn callback(&self, provider: Provider, query: &str, cookies: &[&str]) -> Result<Callback, StateFault> {
        let inner = &self.inner;
        let params = Params::parse(query.as_bytes());
        let state = match params.get("state") {
            Ok(Some(state)) if attempt::is_state(state) => state.to_owned(),
            _ => return Err(StateFault::Missing),
        };
        let now = inner.clock.now();
        let attempt = Attempt::from_cookies(&inner.sealer, &state, cookies, inner.secure, provider, now)?;
        // Without it the redirect URI is no longer registered: there is nowhere to go on to.
        let redirect_uri = inner.client.redirect_uri_of(&attempt.redirect_uri_print).ok_or(StateFault::Foreign)?;
        Ok(Callback { state, redirect_uri: redirect_uri.to_owned(), attempt, answer: provider_answer(&params) })
    }

    async fn take_and_connect(&self, callback: Callback) -> Result<Completed, CompleteFault> {
        let inner = &self.inner;
        let Callback { state, attempt, redirect_uri, answer } = callback;
        match attempt::take(&inner.store, &state, attempt.expires_at, inner.clock.now()).await {
            Ok(taken) => taken?,
            Err(error) => {
                tracing::warn!(%error, "could not take the state of a callback");
                return Err(CompleteFault::Unavailable);
            }
        }
        let outcome = match answer {
            Ok(code) => self.connect(&code, &attempt, &redirect_uri).await,
            Err(error) => Err(error),
        };
        let client_state = attempt.client_state.as_deref();
        let location = match outcome {
            Ok(code) => success_location(&redirect_uri, code.expose_secret(), client_state, &inner.issuer),
            Err(error) => {
                tracing::warn!(error = error.code, description = error.description, "a connect attempt failed");
                error.location(&redirect_uri, client_state, &inner.issuer)
            }
        };
        Ok(Completed { location, clear_cookie: attempt::cleared_cookie(&state, inner.secure) })
    }

    /// From ALC's code to a code of ours.
    async fn connect(
        &self,
        code: &SecretString,
        attempt: &Attempt,
        redirect_uri: &str,
    ) -> Result<SecretString, RedirectError> {
        let inner = &self.inner;
        // First what needs no undoing: without a workspace there is no use in a grant at ALC.
        let workspace = inner.connections.identify_workspace().await.map_err(|error| identify_error(&error))?;
        let exchanged = inner.alc.exchange(code.expose_secret(), &attempt.verifier).await;
        let tokens = exchanged.map_err(|error| exchange_error(&error))?;
        let new_code =
            NewCode { redirect_uri: redirect_uri.to_owned(), code_challenge: attempt.code_challenge.clone() };
        match inner.connections.open_incoming(workspace, tokens.clone(), new_code).await {
            Ok(code) => Ok(code.to_text()),
            Err(error) => {
                self.revoke_at_alc(workspace, tokens);
                Err(open_error(error))
            }
        }
    }

    /// Gives back a grant that we could not keep, unless a connection lives on the same tokens: some servers give the
    /// same ones again. Nobody waits for it.
    fn revoke_at_alc(&self, workspace: WorkspaceId, tokens: Tokens) {
        let (alc, connections) = (self.inner.alc.clone(), self.inner.connections.clone());
        self.inner.lifecycle.spawn(async move {
            let attempts = ExponentialBuilder::default().with_min_delay(Duration::from_millis(500)).with_max_times(2);
            match (|| connections.holds(workspace, &tokens)).retry(attempts).await {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => {
                    // Better a grant that nobody uses than one revoked that leads go out under.
                    tracing::warn!(%error, "a grant that could not be kept may still be alive at ALC");
                    return;
                }
            }
            // The refresh token, where there is one: it takes the access tokens with it (RFC 7009 §2.1).
            let token = tokens.refresh.unwrap_or(tokens.access);
            if let Err(error) = (|| alc.revoke(&token)).retry(attempts).await {
                tracing::warn!(%error, "a grant that could not be kept is still alive at ALC");
            }
        });
    }

    /// `POST /oauth/token` (RFC 6749 §4.1.3, §6): `authorization` is the header, `body` the form.
    pub async fn token(&self, authorization: Option<&str>, body: &[u8]) -> Result<Granted, Fault> {
        let inner = &self.inner;
        let params = Params::parse(body);
        inner.client.authenticate(authorization, &params)?;
        let (subject, refresh_token) = match Grant::parse(&params)? {
            Grant::Code { code, redirect_uri, verifier } => {
                let redeemed = inner.connections.redeem_code(&code, redirect_uri.as_deref(), verifier.as_deref()).await;
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
    pub async fn revoke(&self, authorization: Option<&str>, body: &[u8]) -> Result<(), Fault> {
        let inner = &self.inner;
        let params = Params::parse(body);
        inner.client.authenticate(authorization, &params)?;
        let token = params.get("token")?.ok_or(Fault::InvalidRequest("token is missing"))?;
        // An access token is in no list that it could be struck off; saying so beats pretending (RFC 7009 §2.2.1).
        if self.verify(&SecretString::from(token)).is_ok() {
            return Err(Fault::UnsupportedTokenType);
        }
        let Some(token) = OpaqueToken::parse(token) else { return Ok(()) };
        match self.holder(&token).await {
            Ok(holder) => {
                inner.connections.remove(holder.workspace, holder.connection).await.map_err(|error| store_error(&error))
            }
            Err(Fault::InvalidGrant) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    async fn holder(&self, refresh_token: &OpaqueToken) -> Result<Subject, Fault> {
        let (workspace, connection) =
            self.inner.connections.check_refresh_token(refresh_token).await.map_err(refresh_error)?;
        Ok(Subject { workspace, connection })
    }

    /// Forgets a used state whose time has come; for the reconciler, which leased it.
    pub async fn reconcile(&self, leased: Leased) -> Result<(), StoreError> {
        let inner = &self.inner;
        let lease = leased.document.lease;
        let used: Versioned<UsedState> = Versioned::read(leased.document)?;
        let now = inner.clock.now();
        let write = if now >= used.value.forget_at {
            Write { key: leased.key.clone(), expected: Some(used.version()), change: Change::Erase }
        } else {
            // Whoever woke it early must not make the state good again.
            let Some(lease) = lease else { return Ok(()) };
            let due = Some(used.value.forget_at);
            crate::store::put(
                &leased.key.id,
                &used.value,
                Some(used.version()),
                LeaseChange::End { token: lease.token, due },
            )
        };
        match inner.store.commit(&leased.tenant, &Commit::of(vec![write]), now).await? {
            // On a conflict somebody else had the lease and did it.
            Committed::Done(_) | Committed::Conflict => Ok(()),
        }
    }
}

/// A callback whose attempt is known. No `Debug`: all of it is secret.
struct Callback {
    state: String,
    attempt: Attempt,
    redirect_uri: String,
    /// The provider's code, or what it said instead.
    answer: Result<SecretString, RedirectError>,
}

/// RFC 6749 §4.1.2, §4.1.2.1.
fn provider_answer(params: &Params) -> Result<SecretString, RedirectError> {
    let garbled = |_| RedirectError::new("server_error", "ALC's answer was garbled");
    if let Some(error) = params.get("error").map_err(garbled)? {
        // Codes of extensions go through as well (RFC 6749 §8.5), free text does not.
        let proper =
            error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        let code = if proper { error } else { "server_error" };
        return Err(RedirectError::new(code, "ALC did not grant access"));
    }
    let code = params.get("code").map_err(garbled)?;
    code.map(SecretString::from).ok_or_else(|| RedirectError::new("server_error", "ALC sent no code"))
}

fn exchange_error(error: &TokenError) -> RedirectError {
    tracing::warn!(%error, "ALC did not exchange the code");
    match error {
        TokenError::InvalidGrant => {
            RedirectError::new("access_denied", "ALC no longer accepts its code: connect again")
        }
        TokenError::Refused { .. } => RedirectError::new("server_error", "ALC refused to exchange its code"),
        TokenError::Unavailable { .. } => {
            RedirectError::new("temporarily_unavailable", "ALC does not answer as it should: connect again later")
        }
    }
}

fn identify_error(error: &IdentifyError) -> RedirectError {
    tracing::warn!(%error, "Attio did not name the workspace");
    match error {
        IdentifyError::Inactive | IdentifyError::Refused(_) => {
            RedirectError::new("server_error", "Attio does not accept this service's API key")
        }
        IdentifyError::Unavailable(_) => {
            RedirectError::new("temporarily_unavailable", "Attio does not answer as it should: connect again later")
        }
    }
}

fn open_error(error: OpenIncomingError) -> RedirectError {
    match error {
        OpenIncomingError::OtherWorkspace => {
            RedirectError::new("access_denied", "this service serves another workspace: disconnect that one first")
        }
        OpenIncomingError::Store(error) => {
            tracing::warn!(%error, "a connection could not be kept");
            RedirectError::new("temporarily_unavailable", "the connection could not be kept: connect again later")
        }
    }
}

fn redeem_error(error: RedeemError) -> Fault {
    match error {
        RedeemError::InvalidGrant(why) => {
            tracing::warn!(why, "a code was refused");
            Fault::InvalidGrant
        }
        RedeemError::Store(error) => {
            tracing::warn!(%error, "a code may have been redeemed without an answer");
            Fault::CodeUnavailable
        }
    }
}

fn refresh_error(error: RefreshTokenError) -> Fault {
    match error {
        RefreshTokenError::InvalidGrant => Fault::InvalidGrant,
        RefreshTokenError::Store(error) => store_error(&error),
    }
}

fn store_error(error: &StoreError) -> Fault {
    tracing::warn!(%error, "the store could not be asked for a grant");
    Fault::Unavailable
}
