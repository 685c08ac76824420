//! Back from a provider's consent page: from ALC, by way of Attio where each connection brings its own grant, to the
//! client with a code of ours.
//!
//! Promises that a callback runs to its end whether or not the browser still waits, that the workspace is proven by
//! Attio before anything is connected, and that what was granted and could not be kept is given back.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Authorization,
    attempt::{self, Attempt, Provider, StateFault},
    cookies::{self, Repeat},
    kept::{Kept, Taken},
    params::Params,
    request::{RedirectError, success_location},
};
use crate::{
    alc::oauth::{TokenError, Tokens},
    clock::later,
    connections::{Consent, Granted, IdentifyError, NewCode, OpenIncomingError},
    ids::{WorkspaceId, random_secret},
    lifecycle,
    store::{StoreError, Versioned},
    telemetry::warn_sparingly,
};

/// Where to send the browser on to. No `Debug`: a code or a state is in it.
pub struct Completed {
    /// The client's redirect URI, with `code` or with `error`; or Attio's consent page.
    pub location: String,
    /// `Set-Cookie`, each: what proves this browser in a repeat takes the attempt's place, and perhaps the next one
    /// comes.
    pub set_cookies: Vec<String>,
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

/// A callback, with the attempt that it belongs to. No `Debug`: all of it is secret.
struct Callback {
    provider: Provider,
    state: String,
    attempt: Attempt,
    redirect_uri: String,
    /// The provider's code, or what it said instead.
    answer: Result<SecretString, RedirectError>,
}

/// Where it goes on.
enum Next {
    /// To the client, with this code of ours.
    Client(SecretString),
    /// To Attio's consent page, with another attempt.
    Attio { location: String, set_cookie: String },
}

impl Authorization {
    /// `GET /oauth/callback` and `GET /oauth/callback/attio`: what `provider` answered, in the query, to the browser
    /// that has these `Cookie` headers. Runs to its end also when the browser is closed meanwhile: a grant that was
    /// given and is stored nowhere could never be revoked.
    pub async fn complete(
        &self,
        provider: Provider,
        query: &str,
        cookies: &[&str],
    ) -> Result<Completed, CompleteFault> {
        let callback = match self.callback(provider, query, cookies) {
            Err(StateFault::Foreign) => {
                return self.answered(&self.repeat(provider, query, cookies).ok_or(StateFault::Foreign)?).await;
            }
            callback => callback?,
        };
        let repeat = Repeat { state: callback.state.clone(), query: query.to_owned() };
        let this = self.clone();
        let task = async move {
            match this.take_and_go_on(callback).await {
                // By the same browser: no other has the cookie.
                Err(CompleteFault::State(StateFault::Used)) => this.answered(&repeat).await,
                Ok(completed) => {
                    this.keep_answer(&repeat.state, &repeat.query, &completed).await;
                    Ok(completed)
                }
                fault => fault,
            }
        };
        self.inner.lifecycle.spawn(task).await.unwrap_or_else(|error| lifecycle::resume(error))
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
        let answer = provider_answer(&params, provider);
        Ok(Callback { provider, state, redirect_uri: redirect_uri.to_owned(), attempt, answer })
    }

    /// The callback that this one may be the repeat of.
    fn repeat(&self, provider: Provider, query: &str, cookies: &[&str]) -> Option<Repeat> {
        let params = Params::parse(query.as_bytes());
        let state = params.get("state").ok().flatten().filter(|state| attempt::is_state(state))?;
        let known = cookies::is_known_again(&self.inner.sealer, state, provider, cookies, self.inner.secure);
        known.then(|| Repeat { state: state.to_owned(), query: query.to_owned() })
    }

    async fn take_and_go_on(&self, callback: Callback) -> Result<Completed, CompleteFault> {
        let inner = &self.inner;
        let outcome = match callback.provider {
            Provider::Alc => self.back_from_alc(&callback).await?,
            Provider::Attio => self.back_from_attio(&callback).await?,
        };
        let Callback { provider, state, attempt, redirect_uri, .. } = callback;
        let client_state = attempt.client_state.as_deref();
        let mut set_cookies = vec![cookies::over(&inner.sealer, &state, provider, inner.secure)];
        let location = match outcome {
            Ok(Next::Client(code)) => {
                success_location(&redirect_uri, code.expose_secret(), client_state, &inner.issuer)
            }
            Ok(Next::Attio { location, set_cookie }) => {
                set_cookies.push(set_cookie);
                location
            }
            Err(error) => {
                warn_sparingly!(error = error.code, %error.description, "a connect attempt failed");
                error.location(&redirect_uri, client_state, &inner.issuer)
            }
        };
        Ok(Completed { location, set_cookies })
    }

    /// From ALC's code to a code of ours, or on to Attio.
    async fn back_from_alc(&self, callback: &Callback) -> Result<Result<Next, RedirectError>, CompleteFault> {
        let Callback { state, attempt, redirect_uri, answer, .. } = callback;
        let mark = self.take(state, attempt.expires_at).await.map_err(|error| untaken(&error))??;
        let code = match answer {
            Ok(code) => code,
            Err(error) => return Ok(Err(error.clone())),
        };
        Ok(match self.inner.connections.attio_oauth() {
            None => self.connect_by_key((state, mark), code, attempt, redirect_uri).await.map(Next::Client),
            Some(_) => self.go_on_to_attio(code, attempt).await,
        })
    }

    async fn connect_by_key(
        &self,
        taken: (&str, Versioned<Kept>),
        code: &SecretString,
        attempt: &Attempt,
        redirect_uri: &str,
    ) -> Result<SecretString, RedirectError> {
        let connections = &self.inner.connections;
        // First what needs no undoing: without a workspace there is no use in a grant at ALC.
        let workspace = connections.identify_workspace(None).await.map_err(|error| identify_error(&error))?;
        let (alc, asked_at) = self.exchange_at_alc(code, attempt, Some(workspace)).await?;
        let mut taken = match self.hold_taken(taken, workspace, alc.clone(), asked_at).await {
            Ok(taken) => taken,
            Err(error) => {
                self.give_back_unkept(Provider::Alc, Some(workspace), Some(Granted::by_alc(alc)));
                return Err(not_kept(Some(error)));
            }
        };
        let consent = Consent { alc, asked_at, attio: None };
        let connected = self.open_incoming(&mut taken, workspace, consent, new_code(attempt, redirect_uri)).await;
        if connected.is_err() {
            self.give_up(taken).await;
        }
        connected
    }

    /// Makes an incoming connection of tokens that wait; gives its code.
    async fn open_incoming(
        &self,
        taken: &mut Taken,
        workspace: WorkspaceId,
        consent: Consent,
        code: NewCode,
    ) -> Result<SecretString, RedirectError> {
        let code = self.inner.connections.open_incoming(workspace, consent, code).await.map_err(open_error)?;
        // Before the client can use the connection: tokens that stayed here would be given back under it.
        self.let_go(taken).await.map_err(|error| not_kept(Some(error)))?;
        Ok(code.to_text())
    }

    /// `workspace`: the one that the tokens are for, where it is known already.
    async fn exchange_at_alc(
        &self,
        code: &SecretString,
        attempt: &Attempt,
        workspace: Option<WorkspaceId>,
    ) -> Result<(Tokens, Timestamp), RedirectError> {
        let asked_at = self.inner.clock.now();
        let exchanged = self.inner.alc.exchange(code.expose_secret(), &attempt.verifier).await;
        let error = match exchanged {
            Ok(tokens) => return Ok((tokens, asked_at)),
            Err(error) => error,
        };
        if let TokenError::Unusable { leftover, .. } = &error {
            self.give_back_unkept(Provider::Alc, workspace, Granted::unusable_by_alc(leftover.clone()));
        }
        Err(exchange_error(Provider::Alc, &error))
    }

    /// The second hop: ALC's tokens wait in the store, and the browser goes to Attio with an attempt of its own.
    async fn go_on_to_attio(&self, code: &SecretString, attempt: &Attempt) -> Result<Next, RedirectError> {
        let inner = &self.inner;
        let (tokens, asked_at) = self.exchange_at_alc(code, attempt, None).await?;
        let state = random_secret();
        let state = state.expose_secret();
        let second = Attempt {
            provider: Provider::Attio,
            expires_at: later(inner.clock.now(), attempt::LIFETIME),
            redirect_uri_print: attempt.redirect_uri_print.clone(),
            client_state: attempt.client_state.clone(),
            code_challenge: attempt.code_challenge.clone(),
            verifier: SecretString::default(),
        };
        let location = inner.connections.attio_oauth().map(|attio| attio.authorize(state).into());
        let held = self.hold(state, &tokens, asked_at, second.expires_at).await;
        match (location, held) {
            (Some(location), Ok(())) => {
                Ok(Next::Attio { location, set_cookie: second.to_cookie(&inner.sealer, state, inner.secure) })
            }
            (_, held) => {
                self.give_back_unkept(Provider::Alc, None, Some(Granted::by_alc(tokens)));
                Err(not_kept(held.err()))
            }
        }
    }

    /// From Attio's code to a code of ours.
    async fn back_from_attio(&self, callback: &Callback) -> Result<Result<Next, RedirectError>, CompleteFault> {
        let Callback { state, attempt, redirect_uri, answer, .. } = callback;
        let mut taken = self.take_held(state).await.map_err(|error| untaken(&error))??;
        let connected = match answer {
            Ok(code) => self.connect_by_grant(&mut taken, code, attempt, redirect_uri).await,
            Err(error) => Err(error.clone()),
        };
        if connected.is_err() {
            self.give_up(taken).await;
        }
        Ok(connected.map(Next::Client))
    }

    async fn connect_by_grant(
        &self,
        taken: &mut Taken,
        code: &SecretString,
        attempt: &Attempt,
        redirect_uri: &str,
    ) -> Result<SecretString, RedirectError> {
        let connections = &self.inner.connections;
        let attio = connections.attio_oauth().ok_or_else(|| not_kept(None))?.clone();
        let token = attio.exchange(code).await.map_err(|error| {
            if let TokenError::Unusable { leftover, .. } = &error {
                self.give_back_unkept(Provider::Attio, None, Granted::unusable_by_attio(leftover.clone()));
            }
            exchange_error(Provider::Attio, &error)
        })?;
        if let Err(error) = self.hold_attio(taken, &token).await {
            self.give_back_unkept(Provider::Attio, None, Some(Granted::by_attio(token)));
            return Err(not_kept(Some(error)));
        }
        let workspace = connections.identify_workspace(Some(&token)).await.map_err(|error| grant_error(&error))?;
        self.belongs_to(taken, workspace).await.map_err(|error| not_kept(Some(error)))?;
        let consent = Consent { alc: taken.tokens.clone(), asked_at: taken.asked_at, attio: Some(token) };
        self.open_incoming(taken, workspace, consent, new_code(attempt, redirect_uri)).await
    }

    /// Gives back what was granted and could not even be stored. No caller waits for it, and no document remembers it:
    /// if the process ends now, the grant stays alive at its provider.
    fn give_back_unkept(&self, provider: Provider, workspace: Option<WorkspaceId>, granted: Option<Granted>) {
        let Some(granted) = granted else { return };
        let connections = self.inner.connections.clone();
        self.inner.lifecycle.spawn(async move {
            let attempts = ExponentialBuilder::default().with_min_delay(Duration::from_millis(500)).with_max_times(2);
            let give_back = || connections.give_back(workspace, &granted);
            if let Err(error) = give_back.retry(attempts).await {
                let at = provider.title();
                tracing::warn!(error, at, "a grant that could not be kept is still alive");
            }
        });
    }
}

fn new_code(attempt: &Attempt, redirect_uri: &str) -> NewCode {
    NewCode { redirect_uri: redirect_uri.to_owned(), code_challenge: attempt.code_challenge.clone() }
}

/// RFC 6749 §4.1.2, §4.1.2.1.
fn provider_answer(params: &Params, provider: Provider) -> Result<SecretString, RedirectError> {
    let provider = provider.title();
    let garbled = |_| RedirectError::new("server_error", format!("{provider}'s answer was garbled"));
    if let Some(error) = params.get("error").map_err(garbled)? {
        // Codes of extensions go through as well (RFC 6749 §8.5), free text does not.
        let proper =
            error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        let code = if proper { error } else { "server_error" };
        return Err(RedirectError::new(code, format!("{provider} did not grant access")));
    }
    let code = params.get("code").map_err(garbled)?;
    code.map(SecretString::from).ok_or_else(|| RedirectError::new("server_error", format!("{provider} sent no code")))
}

fn untaken(error: &StoreError) -> CompleteFault {
    warn_sparingly!(%error, "could not take the state of a callback");
    CompleteFault::Unavailable
}

fn exchange_error(provider: Provider, error: &TokenError) -> RedirectError {
    let provider = provider.title();
    warn_sparingly!(%error, provider, "a code was not exchanged");
    match error {
        TokenError::InvalidGrant => {
            RedirectError::new("access_denied", format!("{provider} no longer accepts its code: connect again"))
        }
        TokenError::Refused { .. } => {
            RedirectError::new("server_error", format!("{provider} refused to exchange its code"))
        }
        TokenError::Unusable { .. } => {
            RedirectError::new("server_error", format!("{provider} gave a token that cannot be used"))
        }
        TokenError::Unavailable { .. } => RedirectError::new(
            "temporarily_unavailable",
            format!("{provider} does not answer as it should: connect again later"),
        ),
    }
}

fn identify_error(error: &IdentifyError) -> RedirectError {
    warn_sparingly!(%error, "Attio did not name the workspace");
    match error {
        IdentifyError::Inactive | IdentifyError::Refused(_) => {
            RedirectError::new("server_error", "Attio does not accept this service's API key")
        }
        IdentifyError::Unavailable(_) => {
            RedirectError::new("temporarily_unavailable", "Attio does not answer as it should: connect again later")
        }
    }
}

/// Of a grant that is a moment old.
fn grant_error(error: &IdentifyError) -> RedirectError {
    match error {
        IdentifyError::Inactive => {
            warn_sparingly!(%error, "Attio did not name the workspace");
            RedirectError::new("access_denied", "Attio does not accept the access that it has just granted")
        }
        IdentifyError::Refused(_) => {
            warn_sparingly!(%error, "Attio did not name the workspace");
            RedirectError::new("server_error", "Attio does not name the workspace that it granted access to")
        }
        IdentifyError::Unavailable(_) => identify_error(error),
    }
}

fn open_error(error: OpenIncomingError) -> RedirectError {
    match error {
        OpenIncomingError::OtherWorkspace => {
            RedirectError::new("access_denied", "this service serves another workspace: disconnect that one first")
        }
        OpenIncomingError::Store(error) => not_kept(Some(error)),
    }
}

fn not_kept(error: Option<StoreError>) -> RedirectError {
    warn_sparingly!(error = error.map(|error| error.to_string()), "a connection could not be kept");
    RedirectError::new("temporarily_unavailable", "the connection could not be kept: connect again later")
}
