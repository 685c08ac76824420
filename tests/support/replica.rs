//! One service, in this process, on the world's clock.

use std::{io, net::SocketAddr, sync::Arc};

use alc_connector::{
    app::{App, Parts},
    clock::{ManualClock, SharedClock},
    config::Config,
    lifecycle::Lifecycle,
    store::Store,
};
use tokio::task::JoinHandle;

use super::{ambient::spawn, settings::Settings};

/// A running `App`.
pub struct Replica {
    /// Where its public listener is.
    pub public: SocketAddr,
    /// Where its management listener is.
    pub management: SocketAddr,
    lifecycle: Lifecycle,
    running: JoinHandle<io::Result<()>>,
}

impl Replica {
    /// Starts one.
    pub async fn start(settings: &Settings, clock: &ManualClock) -> Self {
        Self::start_on(settings, Arc::new(clock.clone()), None).await
    }

    /// Starts one on this clock, and on this store in place of the one that the settings name.
    pub async fn start_on(settings: &Settings, clock: SharedClock, store: Option<Store>) -> Self {
        let config = Config::load(&settings.variables().collect());
        let config = config.unwrap_or_else(|faults| panic!("the configuration is at fault: {faults:?}"));
        let parts = Parts { clock: Some(clock), store, ..Parts::default() };
        let app = App::build(config, parts).await.expect("the App is built");
        let (public, management, lifecycle) = (app.public_addr(), app.management_addr(), app.lifecycle());
        Self { public, management, lifecycle, running: spawn(app.run()) }
    }

    /// How much it has under way.
    pub fn under_way(&self) -> usize {
        self.lifecycle.under_way()
    }

    /// Unready from now on, and serving for the drain delay, as after SIGTERM.
    pub fn begin_to_leave(&self) {
        self.lifecycle.leave();
    }

    /// Unready from now on, and ending what is under way.
    pub fn begin_to_stop(&self) {
        self.lifecycle.stop();
    }

    /// Stops it as SIGTERM would.
    pub async fn stop(self) {
        self.lifecycle.stop();
        self.running.await.expect("it ends by itself").expect("it ends well");
    }
}
