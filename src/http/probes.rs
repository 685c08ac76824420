//! What the probes and the metrics ask of the store.
//!
//! Promises that the store is asked once for all who ask within half a second, and that its own words go to the log.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::shared::Shared;
use crate::{
    lifecycle::Lifecycle,
    store::{Degraded, Depth, Store},
    telemetry::warn_sparingly,
};

/// A probe has to be answered before the orchestrator that asks gives up.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// What the probes have asked of the store. Clones share it: each answer serves all who ask within half a second, so
/// that strangers, who can reach `/readyz`, cannot wear the store out.
#[derive(Clone)]
pub struct Probes {
    store: Store,
    serving: Shared<Result<BTreeSet<Degraded>, ()>>,
    depths: Shared<Option<Vec<Depth>>>,
}

impl Probes {
    /// Probes of that store; what they ask runs among the tasks of `lifecycle`.
    pub fn new(lifecycle: &Lifecycle, store: &Store) -> Self {
        Self { store: store.clone(), serving: Shared::new(lifecycle), depths: Shared::new(lifecycle) }
    }

    /// What of the store is degraded; an error if it serves no tenant.
    pub(super) async fn serving(&self) -> Result<BTreeSet<Degraded>, ()> {
        let store = self.store.clone();
        self.serving.get(|| async move { ask_how_far_it_serves(&store).await }).await
    }

    /// `None`: the store does not tell.
    pub(super) async fn depths(&self, now: Timestamp) -> Option<Vec<Depth>> {
        let store = self.store.clone();
        let ask = || async move { tokio::time::timeout(ANSWERED_WITHIN, store.depths(now)).await.ok()?.ok() };
        self.depths.get(ask).await
    }
}

async fn ask_how_far_it_serves(store: &Store) -> Result<BTreeSet<Degraded>, ()> {
    let fault = match tokio::time::timeout(ANSWERED_WITHIN, store.serving()).await {
        Ok(Ok(degraded)) => {
            for one in Degraded::ALL {
                let is_so = if degraded.contains(&one) { 1.0 } else { 0.0 };
                metrics::gauge!("alc_connector_store_degraded", "what" => one.name()).set(is_so);
            }
            let names: Vec<_> = degraded.iter().map(|one| one.name()).collect();
            if !names.is_empty() {
                warn_sparingly!(degraded = names.join(", "), "the store serves in part");
            }
            return Ok(degraded);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    // The store's own words may name hosts; they are for the log.
    warn_sparingly!(error = fault, "the store takes no writes");
    Err(())
}
