//! The store may come after us: Redis may be started beside this process, or be loading its data.
//!
//! Promises that a store which is away or loading is waited for as long as `STORE__CONNECT_PATIENCE` says, and that
//! meanwhile the listeners are up: alive, and not ready. What an operator has to mend is told at once.

use std::{io, time::Duration};

use futures_util::future;
use tokio::time::Instant;

use super::{
    error::BuildError,
    files::Share,
    listeners::{Listeners, Patience, listen},
};
use crate::{
    config::{self, Config},
    http,
    lifecycle::Lifecycle,
    store::{self, OpenError, Store},
};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// The store, and the listeners if they had to be up before it.
///
/// The store is tried first: a second process on one SQLite file waits in there for the first to go, which also frees
/// its addresses.
pub(super) async fn open(
    config: &Config,
    patience: Patience,
    lifecycle: &Lifecycle,
) -> Result<(Store, Option<Listeners>), BuildError> {
    let since = this_moment();
    match try_once(&config.store, lifecycle).await {
        Ok(store) => return Ok((store, None)),
        Err(error) if error.passes() && !config.store.connect_patience.is_zero() => {
            tracing::warn!(%error, patience = ?config.store.connect_patience, "the store is not there yet: waiting");
        }
        Err(error) => return Err(BuildError::Store(error.to_string())),
    }
    let listeners = Listeners::bind(config)?;
    let share = Share::of_process(1);
    let serve = |bound: &super::Bound, connections| {
        listen(bound.listener.try_clone()?, (1, connections), patience, http::waiting)
    };
    let both = || Ok((serve(&listeners.public, share.public)?, serve(&listeners.management, share.management)?));
    let (public, management) = both().map_err(|error: io::Error| BuildError::Store(error.to_string()))?;
    let (public_handle, management_handle) = (public.handle(), management.handle());
    let waiting = async {
        let opened = try_until(&config.store, lifecycle, since).await;
        // Who comes now is taken by the listeners that follow: the sockets are the same.
        future::join(public_handle.stop(true), management_handle.stop(true)).await;
        opened
    };
    let (opened, _served) = future::join(waiting, future::join(public, management)).await;
    Ok((opened?, Some(listeners)))
}

async fn try_until(config: &config::Store, lifecycle: &Lifecycle, since: Instant) -> Result<Store, BuildError> {
    loop {
        tokio::time::sleep(PAUSE).await;
        match try_once(config, lifecycle).await {
            Ok(store) => return Ok(store),
            Err(error) if error.passes() && since.elapsed() < config.connect_patience => {
                tracing::debug!(%error, "the store is still not there");
            }
            Err(error) if error.passes() => {
                let waited = since.elapsed().as_secs();
                return Err(BuildError::Store(format!("{error}; waited {waited} s for it (STORE__CONNECT_PATIENCE)")));
            }
            Err(error) => return Err(BuildError::Store(error.to_string())),
        }
    }
}

async fn try_once(config: &config::Store, lifecycle: &Lifecycle) -> Result<Store, OpenError> {
    store::open(&config.url, &config.namespace, lifecycle).await
}

#[expect(clippy::disallowed_methods, reason = "how long a store is waited for goes by the machine's time")]
fn this_moment() -> Instant {
    Instant::now()
}
