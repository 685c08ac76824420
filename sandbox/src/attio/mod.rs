//! The pretend Attio.
//!
//! Owns what Attio would keep of one workspace: tokens, people and their attributes, webhooks. Promises Attio's own shapes
//! for values and errors, a history of what each record has shown, and Attio's limits where a test switches them on.

mod attributes;
mod errors;
mod events;
mod oauth;
mod records;
mod routes;
mod webhooks;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

pub use attributes::{Attribute, SelectOption};
pub use errors::{rate_limit, refusal};
pub use events::sign;
pub use records::{Change, Record};
pub use routes::OPERATIONS;
pub use webhooks::Webhook;

use crate::{
    ambient::{Time, random},
    wire::{Faults, Journal, Server},
};

/// The pretend Attio, running. Clones share it; dropping the last stops it.
#[derive(Debug, Clone)]
pub struct Attio {
    server: Server,
    shared: Arc<Shared>,
}

/// The switches of the pretend Attio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Writes allowed in one second of the clock; none: as many as come.
    pub writes_per_second: Option<u32>,
    /// Reads allowed in one second of the clock; none: as many as come.
    pub reads_per_second: Option<u32>,
    /// The workspace.
    pub workspace_id: String,
    /// An API key of the workspace.
    pub api_key: String,
    /// The OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Written over the members of every token answer; what is granted stays the same.
    pub token_members: Map<String, Value>,
    /// Whether webhooks must be https, as at the real Attio.
    pub https_webhooks_only: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            writes_per_second: None,
            reads_per_second: None,
            workspace_id: uuid::Uuid::new_v4().to_string(),
            api_key: random("attio_key_"),
            client_id: "attio-client".to_owned(),
            client_secret: "attio-client-secret".to_owned(),
            token_members: Map::new(),
            https_webhooks_only: true,
        }
    }
}

/// What the routes and the handle share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    time: Time,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default, Serialize)]
struct State {
    settings: Settings,
    object_id: String,
    tokens: BTreeMap<String, oauth::Token>,
    codes: BTreeMap<String, String>,
    attributes: Vec<Attribute>,
    records: BTreeMap<String, Record>,
    webhooks: Vec<Webhook>,
    /// The clock second that is counted, and what came in it: writes, reads.
    window: (i64, u32, u32),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touched(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

impl Attio {
    /// Starts an Attio on a free port: one workspace, one API key, people with the three attributes of ALC.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(0, Settings::default()).await
    }

    /// Starts an Attio with these settings on `port` (0: any free one).
    pub async fn start_on(port: u16, settings: Settings) -> io::Result<Self> {
        let time = Time::default();
        let mut state = State { settings, object_id: uuid::Uuid::new_v4().to_string(), ..State::default() };
        let (api_key, workspace_id) = (state.settings.api_key.clone(), state.settings.workspace_id.clone());
        state.tokens.insert(api_key, oauth::Token::new(&workspace_id, time.now()));
        state.preset_attributes();
        let shared = Arc::new(Shared { state: Mutex::new(state), time: time.clone(), changed: watch::Sender::new(0) });
        let server = Server::start(port, Arc::new(routes::Routes(shared.clone())), time).await?;
        Ok(Self { server, shared })
    }

    /// `ATTIO__BASE_URL`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// `ATTIO__API_KEY`.
    pub fn api_key(&self) -> String {
        self.shared.state().settings.api_key.clone()
    }

    /// The workspace that the API key is for.
    pub fn workspace_id(&self) -> String {
        self.shared.state().settings.workspace_id.clone()
    }

    /// Where a workflow of that name waits: `ATTIO__CALLBACK_HOSTS` has to list `127.0.0.1`. What comes in is the operation
    /// `workflow_callback`: faults make it a run that is gone or not known yet (404), or a host that hangs.
    pub fn callback_url(&self, name: &str) -> String {
        format!("{}/callbacks/{name}", self.url())
    }

    /// What a waiting workflow was told and took, in order.
    pub fn told(&self, name: &str) -> Vec<Value> {
        let path = format!("/callbacks/{name}");
        let heard = self.journal().requests("workflow_callback").into_iter();
        heard.filter(|seen| seen.path == path && seen.status == Some(200)).map(|seen| seen.json()).collect()
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

    /// Its clock: limits are counted, and `Date` and `Retry-After` written, by it. See also [`Time::follow`].
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

    /// Adds a person; gives its record id.
    pub fn add_person(&self, name: &str, phone_number: &str) -> String {
        let now = self.shared.time.now();
        self.shared.state().add_person(name, phone_number, now)
    }

    /// Takes a record away, as a person in Attio would.
    pub fn delete_person(&self, record_id: &str) {
        self.shared.state().records.remove(record_id);
        self.shared.touched();
    }

    /// What a record shows in an attribute now: the text, the option's title, the full name, the number.
    pub fn value(&self, record_id: &str, slug: &str) -> Option<String> {
        self.shared.state().records.get(record_id)?.plain(slug)
    }

    /// What a record shows as ALC's status now.
    pub fn status(&self, record_id: &str) -> Option<String> {
        self.value(record_id, "alc_status")
    }

    /// Every status that a record has shown, in order. Writing what is already there makes no entry.
    pub fn history(&self, record_id: &str) -> Vec<String> {
        self.changes(record_id)
            .into_iter()
            .filter(|change| change.slug == "alc_status")
            .map(|change| change.value.unwrap_or_default())
            .collect()
    }

    /// Every change of a record that came over HTTP or by [`Attio::edit`], in order.
    pub fn changes(&self, record_id: &str) -> Vec<Change> {
        self.shared.state().records.get(record_id).map(|record| record.changes.clone()).unwrap_or_default()
    }

    /// Writes a value as a person in Attio would. An option that is not there is made.
    pub fn edit(&self, record_id: &str, slug: &str, value: &str) {
        let now = self.shared.time.now();
        self.shared.state().edit(record_id, slug, value, now);
        self.shared.touched();
    }

    /// Waits until a record shows `status`.
    ///
    /// # Panics
    /// After 20 s, saying what the record showed instead.
    pub async fn wait_for_status(&self, record_id: &str, status: &str) {
        let mut changed = self.shared.changed.subscribe();
        let waiting = async {
            loop {
                changed.mark_unchanged();
                if self.status(record_id).as_deref() == Some(status) {
                    return;
                }
                drop(changed.changed().await);
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), waiting).await.is_err() {
            panic!("{record_id} never showed {status}; it showed {:?}", self.history(record_id));
        }
    }

    /// Everything it remembers, as `GET /_sandbox/state` shows it.
    pub fn state(&self) -> Value {
        json!(*self.shared.state())
    }
}
