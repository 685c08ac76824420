//! One service, in this process, on the world's clock.

use std::net::SocketAddr;

use alc_connector::clock::ManualClock;

use super::settings::Settings;

/// A running `App`.
pub struct Replica {
    /// Where its public listener is.
    pub public: SocketAddr,
    /// Where its management listener is.
    pub management: SocketAddr,
}

impl Replica {
    /// Starts one.
    pub async fn start(settings: &Settings, clock: &ManualClock) -> Self {
        let variables: Vec<_> = settings.variables().collect();
        panic!("no App yet for {variables:?} {clock:?}")
    }

    /// Stops it as SIGTERM would.
    pub async fn stop(self) {}
}
