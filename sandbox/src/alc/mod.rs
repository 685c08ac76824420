//! The pretend ALC.
//!
//! Owns what ALC would keep: grants, leads, webhooks. Promises that the rich mode has all that such services
//! commonly have and the minimal mode nothing but the calls that ALC is known to have, each switchable by itself in
//! [`Settings`].

mod callback;
mod errors;
mod handle;
mod leads;
mod oauth;
mod routes;
mod secret_form;
mod settings;
mod state;
mod webhooks;

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

pub use callback::{Callback, Signing};
pub use handle::Alc;
pub use routes::OPERATIONS;
pub use secret_form::SecretForm;
pub use settings::{Consent, Settings};
pub use state::{Answer, Lead, Webhook};
use state::{Shared, State};

use crate::{
    ambient::{self, Time},
    wire::Server,
};

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
}
