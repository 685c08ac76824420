//! The handle that every room holds.

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    aggregate::{Aggregate, Versioned},
    alarm::Alarm,
    commit::{Commit, Committed, Write},
    document::{Key, Kind, Tenant},
    engine::Engine,
    error::StoreError,
    measured::Measured,
    pressure::Pressure,
};
use crate::clock::{SharedClock, SystemClock};

/// The handle on the store. Wakes the local reconciler when something it wrote is due before what that waits for.
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    alarm: Arc<Alarm>,
    clock: SharedClock,
    pressure: Pressure,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// A handle on `engine`, measured; its clock is the engine's, or the machine's where the engine has none.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        let clock = engine.clock().unwrap_or_else(|| Arc::new(SystemClock));
        let pressure = Pressure::default();
        let engine = Arc::new(Measured::new(engine, pressure.clone()));
        Self { engine, alarm: Arc::default(), clock, pressure }
    }

    /// Whether callers wait for this store and it has become slow.
    pub fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// The same store on another clock.
    #[must_use]
    pub fn on_clock(self, clock: SharedClock) -> Self {
        Self { clock, ..self }
    }

    /// The time that tries at a change go by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Resolves after a local write that may have made something due before `until`, what the caller has found to be
    /// the next due time. One permit is kept, so a write between two calls is not missed; and whatever is written
    /// before this is called counts, so neither is one since the caller looked.
    pub async fn woken(&self, until: Option<Timestamp>) {
        self.alarm.sleep(until).await;
    }

    /// See [`Engine::commit`]; wakes the local reconciler if the commit may have made an aggregate due before what that
    /// sleeps for: also in a while, since what it knows would be too late.
    pub async fn commit(&self, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed, StoreError> {
        let committed = self.engine.commit(tenant, commit, now).await?;
        let due = commit.writes.iter().filter_map(Write::due).min();
        if let (Committed::Done(_), Some(due)) = (committed, due) {
            self.alarm.ring_for(due);
        }
        Ok(committed)
    }

    /// One aggregate as it is now; `None` if there is none.
    pub async fn find<A: Aggregate>(&self, tenant: &Tenant, id: &str) -> Result<Option<Versioned<A>>, StoreError> {
        self.load(tenant, &[Key::new(A::KIND, id)], &[], self.now()).await?.take()
    }

    /// See [`Engine::wake`].
    pub async fn wake(
        &self,
        tenant: &Tenant,
        kind: Kind,
        statuses: &[&str],
        spread: Duration,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let woken = self.engine.wake(tenant, kind, statuses, spread, now).await?;
        self.alarm.ring();
        Ok(woken)
    }
}

/// What needs no wake-up goes straight to the engine.
impl Deref for Store {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        &*self.engine
    }
}
