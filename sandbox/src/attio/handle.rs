//! The handle on a running pretend Attio: its addresses, its switches, what its records show.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    settings::Settings,
    state::{Change, Shared},
};
use crate::{
    ambient::Time,
    wire::{Faults, Journal, Server},
};

/// The pretend Attio, running. Clones share it; dropping the last stops it.
#[derive(Debug, Clone)]
pub struct Attio {
    pub(super) server: Server,
    pub(super) shared: Arc<Shared>,
}

impl Attio {
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

    /// Where a workflow of that name waits: `ATTIO__CALLBACK_HOSTS` has to list `127.0.0.1`. What comes in is the
    /// operation `workflow_callback`: faults make it a run that is gone or not known yet (404), or a host that hangs.
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

    /// Remembers what [`Attio::state`] once said, of this Attio or another, and nothing else.
    ///
    /// # Errors
    /// When that is not such a state: then it remembers what it did.
    pub fn remember(&self, state: Value) -> Result<(), serde_json::Error> {
        *self.shared.state() = serde_json::from_value(state)?;
        self.shared.touched();
        Ok(())
    }
}
