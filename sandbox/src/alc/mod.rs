//! The pretend ALC.
//!
//! Owns what ALC would keep: grants, leads, webhooks. Promises that the rich mode has all that `alc.md` assumes and the
//! minimal mode nothing but what it knows, each switchable by itself in [`Settings`].

mod callback;
mod leads;
mod oauth;
mod routes;
mod secret_form;
mod settings;
mod webhooks;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

pub use callback::{Answer, Callback, Signing};
pub use leads::Lead;
pub use routes::OPERATIONS;
pub use secret_form::SecretForm;
pub use settings::{Consent, Settings};
pub use webhooks::Webhook;

use crate::{
    ambient::{self, Time},
    wire::{Faults, Journal, Reply, Server},
};

/// The pretend ALC, running. Clones share it; dropping the last stops it.
#[derive(Debug, Clone)]
pub struct Alc {
    server: Server,
    shared: Arc<Shared>,
}

/// What the routes and the handle share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    time: Time,
    client: reqwest::Client,
}

#[derive(Debug, Default, Serialize)]
struct State {
    settings: Settings,
    grants: Vec<oauth::Grant>,
    codes: BTreeMap<String, oauth::Code>,
    leads: Vec<Lead>,
    keys: BTreeMap<String, leads::Receipt>,
    webhooks: Vec<Webhook>,
    callbacks: Vec<Answer>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alc {
    /// Starts a rich ALC on a free port, consenting by itself.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(0, Settings::rich()).await
    }

    /// Starts an ALC that has nothing but the known part.
    pub async fn start_minimal() -> io::Result<Self> {
        Self::start_on(0, Settings::minimal()).await
    }

    /// Starts an ALC with these settings on `port` (0: any free one).
    pub async fn start_on(port: u16, settings: Settings) -> io::Result<Self> {
        let time = Time::default();
        let shared = Arc::new(Shared {
            state: Mutex::new(State { settings, ..State::default() }),
            time: time.clone(),
            client: ambient::http_client(Duration::from_secs(30)),
        });
        let server = Server::start(port, Arc::new(routes::Routes(shared.clone())), time).await?;
        Ok(Self { server, shared })
    }

    /// `ALC__BASE_URL`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// `ALC__AUTHORIZE_URL`.
    pub fn authorize_url(&self) -> String {
        format!("{}/oauth/authorize", self.url())
    }

    /// `ALC__TOKEN_URL`.
    pub fn token_url(&self) -> String {
        format!("{}/oauth/token", self.url())
    }

    /// `ALC__REVOKE_URL`; in minimal mode there is nothing behind it.
    pub fn revoke_url(&self) -> String {
        format!("{}/oauth/revoke", self.url())
    }

    /// `ALC__CLIENT_ID`.
    pub fn client_id(&self) -> String {
        self.shared.state().settings.client_id.clone()
    }

    /// `ALC__CLIENT_SECRET`.
    pub fn client_secret(&self) -> String {
        self.shared.state().settings.client_secret.clone()
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        self.server.faults()
    }

    /// What came in.
    pub fn journal(&self) -> &Journal {
        self.server.journal()
    }

    /// Its wire: going down, coming up, stopping.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its clock: callbacks are stamped, and tokens expire, by it. See also [`Time::follow`].
    pub fn time(&self) -> &Time {
        &self.shared.time
    }

    /// Lets its clock stand still at `at`; `None` goes back to the machine's.
    pub fn set_time(&self, at: Option<Timestamp>) {
        self.shared.time.set(at);
    }

    /// Ends for good.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Changes how it behaves, from the next request on.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.state().settings);
    }

    /// Everything it remembers, as `GET /_sandbox/state` shows it.
    pub fn state(&self) -> Value {
        json!(*self.shared.state())
    }
}

/// ALC's answer to what it refuses.
fn problem(status: u16, error: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": error, "message": message }))
}
