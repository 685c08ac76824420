//! The handle on a running pretend ALC: its addresses, its switches, what it remembers.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{settings::Settings, state::Shared};
use crate::{
    ambient::Time,
    wire::{Faults, Journal, Server},
};

/// The pretend ALC, running. Clones share it; dropping the last stops it.
#[derive(Debug, Clone)]
pub struct Alc {
    pub(super) server: Server,
    pub(super) shared: Arc<Shared>,
}

impl Alc {
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

    /// Whether a refresh ends the old refresh token.
    pub fn rotates_refresh_tokens(&self) -> bool {
        self.shared.state().settings.rotate_refresh_tokens
    }

    /// Everything it remembers, as `GET /_sandbox/state` shows it.
    pub fn state(&self) -> Value {
        json!(*self.shared.state())
    }

    /// Remembers what [`Alc::state`] once said, of this Alc or another, and nothing else.
    ///
    /// # Errors
    /// When that is not such a state: then it remembers what it did.
    pub fn remember(&self, state: Value) -> Result<(), serde_json::Error> {
        *self.shared.state() = serde_json::from_value(state)?;
        Ok(())
    }
}
