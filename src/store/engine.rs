//! What both engines do, and what they promise.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    commit::{Commit, Committed},
    degraded::Degraded,
    document::{Key, Kind, Tenant},
    error::StoreError,
    found::{Cursor, Depth, Due, LeaseRequest, Loaded, Page, Taken},
    gate::{Gate, GateReport, Verdict},
};
use crate::clock::{SharedClock, later};

/// How many aggregates [`Engine::wake`] changes as one unit.
pub(super) const WAKEN_AT_ONCE: usize = 1_000;

/// When each of `found` is woken: evenly over `spread`, in their order.
pub(super) fn evenly<T>(found: Vec<T>, spread: Duration, now: Timestamp) -> Vec<(T, Timestamp)> {
    let count = found.len() as u128;
    let woken = found.into_iter().zip(0u128..).map(|(one, nth)| {
        let delay = u64::try_from(spread.as_micros() * nth / count).unwrap_or(u64::MAX);
        (one, later(now, Duration::from_micros(delay)))
    });
    woken.collect()
}

/// A store engine. Every method is one atomic unit on the store's side unless it says otherwise, and every one may be
/// called by many replicas at once.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// The aggregates and gates of one tenant as they are together, in one round trip. A receipt past its `expires_at`
    /// is not there.
    async fn load(&self, tenant: &Tenant, keys: &[Key], gates: &[Gate], now: Timestamp) -> Result<Loaded, StoreError>;

    /// Writes all or nothing, durably. A crash in the middle leaves nothing of it; a crash after it leaves all of it,
    /// and the same commit (same id) then answers as the first time.
    async fn commit(&self, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed, StoreError>;

    /// Leases aggregates that are due at `now`: what is urgent and what is not, each up to its own quota, longest due
    /// first within a tenant, tenants taking turns. Does not move their versions. Atomic per tenant, together with what
    /// `request.beside` asks for; a crash in the middle leaves leases that run out.
    async fn lease_due(&self, request: &LeaseRequest, now: Timestamp) -> Result<Due, StoreError>;

    /// Gives back what [`Self::lease_due`] leased, as it was but due at `due`: for a worker that cannot read it. Moves
    /// no version. A lease that had run out before stays one that ran out, so that the next worker is told as this one
    /// was. `false`, and nothing is changed: the lease has ended or gone to another worker meanwhile.
    async fn put_back(
        &self,
        tenant: &Tenant,
        taken: &Taken,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// When the next aggregate becomes due after `now`; `None`: none. What is due by `now` is [`Self::lease_due`]'s,
    /// and must not hide what comes.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Makes every unleased aggregate of that tenant, kind and one of those statuses due between `now` and `now +
    /// spread`, evenly and in the order of their creation, and none later than it was; returns how many. Moves no
    /// version. Works in rounds of a thousand, so that no other call waits long: each round is atomic, an aggregate
    /// that a worker leases or takes out of these statuses meanwhile is left alone, and a crash in the middle leaves
    /// some woken. Harmless to repeat. An aggregate that goes from one of these statuses to another meanwhile may be
    /// missed, as a leased one is: a worker that ends a lease has to check what the wake is about.
    async fn wake(
        &self,
        tenant: &Tenant,
        kind: Kind,
        statuses: &[&str],
        spread: Duration,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// The ids of every aggregate of that tenant, kind and one of those statuses that no worker leases. Not one atomic
    /// view, as [`Self::depths`]; for the few of a kind that has no pages, never while a caller waits.
    async fn unleased(&self, tenant: &Tenant, kind: Kind, statuses: &[&str]) -> Result<Vec<String>, StoreError>;

    /// One page of a tenant's leads, newest first, of these statuses, each named once, after `cursor`.
    async fn page(
        &self,
        tenant: &Tenant,
        statuses: &[&str],
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// Count and oldest by kind and status, over all tenants, of what is indexed (all but receipts). Not one atomic
    /// view: each partition is read by itself.
    async fn depths(&self, now: Timestamp) -> Result<Vec<Depth>, StoreError>;

    /// The tenants that have an aggregate of this kind (any but receipts), each once. Not one atomic view, as
    /// [`Self::depths`]; for a look over all of them at the start, never while a caller waits.
    async fn tenants(&self, kind: Kind) -> Result<BTreeSet<Tenant>, StoreError>;

    /// Whether a write would succeed right now.
    async fn ping(&self) -> Result<(), StoreError>;

    /// How far the store serves right now: what is degraded, or why no tenant can be served. As [`Self::ping`], but for
    /// an engine that can serve some tenants, or some calls, while others fail.
    async fn serving(&self) -> Result<BTreeSet<Degraded>, StoreError> {
        self.ping().await.map(|()| BTreeSet::new())
    }

    /// Asks a gate for leave to go. With `held`, the slot kept beside that aggregate counts and is updated (no version
    /// moves); without, a slot in the future is lost if the caller does not come back.
    async fn reserve(
        &self,
        tenant: &Tenant,
        gate: &Gate,
        held: Option<&Key>,
        now: Timestamp,
    ) -> Result<Verdict, StoreError>;

    /// Tells a gate what came of going.
    async fn report(&self, tenant: &Tenant, gate: &Gate, report: GateReport, now: Timestamp) -> Result<(), StoreError>;

    /// The clock that the store's leases need, where the machine's as it stands will not do.
    fn clock(&self) -> Option<SharedClock> {
        None
    }

    /// What of the engine has died in this process and does not come back without a restart.
    fn broken(&self) -> Option<&'static str> {
        None
    }

    /// Ends the engine's threads and connections; what was acknowledged is safe.
    async fn close(&self) {}
}
