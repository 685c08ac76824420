//! The service that the handlers and the reconciler call: its parts, and what every part of it goes by.

use std::{ops::Deref, sync::Arc, time::Duration};

use super::{press::recent::Recent, settings::Settings, work::in_hand::InHand};
use crate::{
    alc, attio,
    clock::{SharedClock, Timestamp},
    connections::Connections,
    ids::{RecordId, unit_random},
    lifecycle::Lifecycle,
    notify,
    sealing::Sealer,
    seats::Seats,
    store::{Beside, Key, Kind, Loaded, Store, StoreError, Tenant, gate::Gate},
    upstream::breaker::Breaker,
};

/// What the service works with.
pub struct Parts {
    /// The store.
    pub store: Store,
    /// The workspaces.
    pub connections: Connections,
    /// ALC.
    pub alc: alc::Client,
    /// Attio.
    pub attio: attio::Client,
    /// The workflows that wait.
    pub workflows: notify::Client,
    /// Seals names and numbers.
    pub sealer: Arc<Sealer>,
    /// The time.
    pub clock: SharedClock,
    /// Where steps run.
    pub lifecycle: Lifecycle,
    /// The workers' seats, which the reconciler takes from too.
    pub seats: Arc<Seats>,
}

/// The service. Clones share everything: each press makes two, for its tasks.
#[derive(Clone)]
pub struct Leads(Arc<Shared>);

/// What clones of the service share.
pub struct Shared {
    pub(super) parts: Parts,
    pub(super) settings: Settings,
    pub(super) in_hand: InHand,
    pub(super) recent: Recent,
    /// Over ALC as a whole; each workspace has a gate of its own besides.
    pub(super) alc_breaker: Arc<Breaker>,
}

impl Deref for Leads {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Leads {
    /// The service over its parts.
    pub fn new(parts: Parts, settings: Settings) -> Self {
        let (in_hand, recent) = (InHand::default(), Recent::default());
        Self(Arc::new(Shared { parts, settings, in_hand, recent, alc_breaker: Arc::default() }))
    }

    /// The region that numbers without `+` belong to.
    pub fn default_region(&self) -> Option<&str> {
        self.settings.default_region.as_deref()
    }

    /// How long a lease must last: two attempts at an upstream and some air.
    pub fn lease_duration(&self) -> Duration {
        self.settings.upstream_timeout * 2 + Duration::from_secs(5)
    }

    /// The gates that a lead passes in its life, ALC's first.
    pub(super) fn gates(&self) -> [Gate; 2] {
        [self.settings.gates.alc, self.settings.gates.attio]
    }

    /// What a worker needs besides a lead, a sync or a prospect, to begin.
    pub fn beside(&self) -> Beside {
        Beside { keys: vec![Key::workspace()], gates: self.gates().to_vec() }
    }

    /// The same of a tenant: as its lease has brought it, else loaded.
    pub(super) async fn stands_beside(&self, tenant: &Tenant, brought: Option<Loaded>) -> Result<Loaded, StoreError> {
        match brought {
            Some(brought) => Ok(brought),
            None => {
                let Beside { keys, gates } = self.beside();
                self.parts.store.load(tenant, &keys, &gates, self.parts.store.now()).await
            }
        }
    }

    /// How far apart the leads of a workspace are taken up that were asked for together: as Attio's gate lets them
    /// through.
    pub fn pace(&self) -> Duration {
        self.settings.gates.attio.interval().unwrap_or_default()
    }

    /// When to try again after `failures` failures in a row; not before `asked`, the time that the upstream named.
    pub(super) fn retry_at(&self, failures: u32, asked: Option<Timestamp>) -> Timestamp {
        self.settings.schedule.next(failures, unit_random(), asked, self.parts.clock.now())
    }
}

/// The key of a record's lead.
pub(super) fn lead_key(record: RecordId) -> Key {
    Key::new(Kind::Lead, record)
}
