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
    refusals::{exchange_error, grant_error, identify_error, not_kept, provider_answer, workspace_refused},
    request::{RedirectError, success_location},
};
use crate::{
    alc::oauth::{TokenError, Tokens},
    clock::later,
    connections::Granted,
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
    /// Browsers bring more codes than are exchanged: nothing was taken.
    #[error("too many attempts at once")]
    TooMany {
        /// After which this one may be tried again.
        seconds: u64,
    },
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
        if let (Provider::Alc, Err(error)) = (provider, &callback.answer) {
            return Ok(self.refused_by_alc(&callback, error));
        }
        let repeat = Repeat { state: callback.state.clone(), query: query.to_owned() };
        // A callback whose state was taken exchanges nothing: it takes no person's turn, and is answered without one.
        if provider == Provider::Alc && !self.is_taken(&callback.state).await.map_err(|error| untaken(&error))? {
            self.inner.exchanges.turn().map_err(|seconds| CompleteFault::TooMany { seconds })?;
        }
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

    /// Back to the client with ALC's refusal. The store hears nothing of it: any browser can bring as many as it likes.
    /// The attempt stays in its browser, so that a repeat is answered alike, and a person may still grant access.
    fn refused_by_alc(&self, callback: &Callback, error: &RedirectError) -> Completed {
        let location = self.back_with(error, callback);
        Completed { location, set_cookies: Vec::new() }
    }

    fn back_with(&self, error: &RedirectError, callback: &Callback) -> String {
        warn_sparingly!(error = error.code, %error.description, "a connect attempt failed");
        error.location(&callback.redirect_uri, callback.attempt.client_state.as_deref(), &self.inner.issuer)
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
        let Callback { provider, state, attempt, redirect_uri, .. } = &callback;
        let client_state = attempt.client_state.as_deref();
        let mut set_cookies = vec![cookies::over(&inner.sealer, state, *provider, inner.secure)];
        let location = match outcome {
            Ok(Next::Client(code)) => success_location(redirect_uri, code.expose_secret(), client_state, &inner.issuer),
            Ok(Next::Attio { location, set_cookie }) => {
                set_cookies.push(set_cookie);
                location
            }
            Err(error) => self.back_with(&error, &callback),
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

    /// ALC's tokens first: only a person whom ALC knows makes this service ask Attio, under the workspace's key.
    async fn connect_by_key(
        &self,
        taken: (&str, Versioned<Kept>),
        code: &SecretString,
        attempt: &Attempt,
        redirect_uri: &str,
    ) -> Result<SecretString, RedirectError> {
        let (alc, asked_at) = self.exchange_at_alc(code, attempt).await?;
        let mut taken = match self.hold_taken(taken, &alc, asked_at).await {
            Ok(taken) => taken,
            Err(error) => {
                self.give_back_unkept(Provider::Alc, Some(Granted::by_alc(alc)));
                return Err(not_kept(Some(error)));
            }
        };
        let connected = self.code_by_key(&mut taken, attempt, redirect_uri).await;
        if connected.is_err() {
            self.give_up(taken).await;
        }
        connected
    }

    async fn code_by_key(
        &self,
        taken: &mut Taken,
        attempt: &Attempt,
        redirect_uri: &str,
    ) -> Result<SecretString, RedirectError> {
        let connections = &self.inner.connections;
        let workspace = connections.identify_workspace(None).await.map_err(|error| identify_error(&error))?;
        Self::belongs_to(taken, workspace);
        connections.may_connect(workspace).await.map_err(workspace_refused)?;
        self.code(taken, workspace, attempt, redirect_uri).await
    }

    /// Lets what was granted wait for the client; gives the code for it.
    async fn code(
        &self,
        taken: &mut Taken,
        workspace: WorkspaceId,
        attempt: &Attempt,
        redirect_uri: &str,
    ) -> Result<SecretString, RedirectError> {
        let challenge = attempt.code_challenge.clone();
        let code = self.wait_for_client(taken, workspace, redirect_uri, challenge).await;
        code.map_err(|error| not_kept(Some(error)))
    }

    async fn exchange_at_alc(
        &self,
        code: &SecretString,
        attempt: &Attempt,
    ) -> Result<(Tokens, Timestamp), RedirectError> {
        let asked_at = self.inner.clock.now();
        let exchanged = self.inner.alc.exchange(code.expose_secret(), &attempt.verifier).await;
        let error = match exchanged {
            Ok(tokens) => return Ok((tokens, asked_at)),
            Err(error) => error,
        };
        if let TokenError::Unusable { leftover, .. } = &error {
            self.give_back_unkept(Provider::Alc, Granted::unusable_by_alc(leftover.clone()));
        }
        Err(exchange_error(Provider::Alc, &error))
    }

    /// The second hop: ALC's tokens wait in the store, and the browser goes to Attio with an attempt of its own.
    async fn go_on_to_attio(&self, code: &SecretString, attempt: &Attempt) -> Result<Next, RedirectError> {
        let inner = &self.inner;
        let (tokens, asked_at) = self.exchange_at_alc(code, attempt).await?;
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
                self.give_back_unkept(Provider::Alc, Some(Granted::by_alc(tokens)));
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
                self.give_back_unkept(Provider::Attio, Granted::unusable_by_attio(leftover.clone()));
            }
            exchange_error(Provider::Attio, &error)
        })?;
        if let Err(error) = self.hold_attio(taken, &token).await {
            self.give_back_unkept(Provider::Attio, Some(Granted::by_attio(token)));
            return Err(not_kept(Some(error)));
        }
        let workspace = connections.identify_workspace(Some(&token)).await.map_err(|error| grant_error(&error))?;
        self.code(taken, workspace, attempt, redirect_uri).await
    }

    /// Gives back what was granted and could not even be stored. No caller waits for it, and no document remembers it:
    /// if the process ends now, the grant stays alive at its provider.
    fn give_back_unkept(&self, provider: Provider, granted: Option<Granted>) {
        let Some(granted) = granted else { return };
        let connections = self.inner.connections.clone();
        self.inner.lifecycle.spawn(async move {
            let attempts = ExponentialBuilder::default().with_min_delay(Duration::from_millis(500)).with_max_times(2);
            let give_back = async || connections.give_back(None, &granted).await;
            if let Err(error) = give_back.retry(attempts).await {
                let at = provider.title();
                tracing::warn!(error, at, "a grant that could not be kept is still alive");
            }
        });
    }
}

fn untaken(error: &StoreError) -> CompleteFault {
    warn_sparingly!(%error, "could not take the state of a callback");
    CompleteFault::Unavailable
}
