//! The pretend Attio.
//!
//! Owns what Attio would keep of one workspace: tokens, people and their attributes, lists, notes, webhooks. Promises
//! Attio's own shapes for values and errors, a history of what each record has shown, and Attio's limits where a test
//! switches them on.

mod attributes;
mod errors;
mod events;
mod handle;
mod lists;
mod notes;
mod oauth;
mod people;
mod records;
mod routes;
mod settings;
mod state;
mod webhooks;

use std::{
    io,
    sync::{Arc, Mutex},
};

pub use errors::{rate_limit, refusal};
pub use events::sign;
pub use handle::Attio;
pub use routes::OPERATIONS;
pub use settings::Settings;
pub use state::{Attribute, Change, Entry, List, Note, Record, SelectOption, Webhook};
use state::{Shared, State, Token};
use tokio::sync::watch;

use crate::{ambient::Time, wire::Server};

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
        state.tokens.insert(api_key, Token::new(&workspace_id, time.now()));
        state.preset_attributes();
        let shared = Arc::new(Shared { state: Mutex::new(state), time: time.clone(), changed: watch::Sender::new(0) });
        let server = Server::start(port, Arc::new(routes::Routes(shared.clone())), time).await?;
        Ok(Self { server, shared })
    }
}
