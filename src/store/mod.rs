//! The store: aggregates with a version, a lease and a due time.
//!
//! Owns the [`Engine`] trait, which speaks of aggregates and never of get and set, its two engines ([`sqlite`],
//! [`redis`]), and [`Store`], the handle that everybody else holds. One suite (`conformance`) runs over both; nothing else
//! may tell them apart.
//!
//! # What an aggregate is here
//!
//! A JSON body, written whole by compare-and-swap on a **version**. *Beside* the version, so that changing them does not
//! move it: a **lease** (who works on it now), a **due time** (when somebody should), and a **slot** reserved at a gate.
//!
//! - While a lease exists, live or run out, the aggregate is due when the lease's `until` has come; its stored due time
//!   counts again when the lease has ended.
//! - [`Engine::lease_due`] is the only way to take over a lease that ran out. Whoever gets it is told.
//! - Conflicts are values, not errors: an error means that the store could not be asked.
//!
//! `now` is a parameter everywhere: see [`crate::clock`].

mod aggregate;
mod alarm;
#[cfg(test)]
mod conformance;
pub mod gate;
mod open;
pub mod redis;
pub mod sqlite;
mod tries;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

pub use aggregate::{Aggregate, CodecError, Versioned, decode, encode, put};
use async_trait::async_trait;
use jiff::Timestamp;
pub use open::{OpenError, check_namespace, check_url, open};
use serde::{Deserialize, Serialize};
pub use tries::{Decision, Patience, Tries};
use uuid::Uuid;

use self::{
    alarm::Alarm,
    gate::{Gate, GateReport, GateView, Verdict},
};
use crate::clock::{SharedClock, SystemClock};

/// Whose aggregate it is: a workspace's id, or a state of ours for an [`Kind::Attempt`]. One tenant's aggregates commit
/// together. Letters, digits, `-` and `_` only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(String);

impl Tenant {
    /// A tenant of that name.
    pub fn new(name: impl fmt::Display) -> Self {
        Self(name.to_string())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kinds of aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The tenant itself: connections, tokens, webhooks.
    Workspace,
    /// One person record.
    Lead,
    /// An idempotency key; in no index, forgotten after its `expires_at`.
    Receipt,
    /// A used OAuth state.
    Attempt,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Workspace, Self::Lead, Self::Receipt, Self::Attempt];

    /// The kind's stable name, as the engines store it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Lead => "lead",
            Self::Receipt => "receipt",
            Self::Attempt => "attempt",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An aggregate within its tenant. The id is empty for the one [`Kind::Workspace`] of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub id: String,
}

impl Key {
    /// The aggregate `id` of that kind.
    pub fn new(kind: Kind, id: impl fmt::Display) -> Self {
        Self { kind, id: id.to_string() }
    }

    /// The tenant's workspace.
    pub fn workspace() -> Self {
        Self { kind: Kind::Workspace, id: String::new() }
    }
}

/// Counts the commits of an aggregate, from 1.
pub type Version = u64;

/// Who works on an aggregate, and until when nobody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Random; only who knows it extends or ends the lease.
    pub token: Uuid,
    /// When the lease runs out.
    pub until: Timestamp,
}

/// An aggregate as the store has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// JSON.
    pub body: String,
    /// The version of `body`.
    pub version: Version,
    /// The label under which [`Engine::page`], [`Engine::wake`] and [`Engine::depths`] find it.
    pub status: String,
    /// What orders a page, and tells how old the oldest is.
    pub created_at: Timestamp,
    /// When there is work; `None`: never.
    pub due: Option<Timestamp>,
    /// Also when it has run out but nobody has taken it over.
    pub lease: Option<Lease>,
    /// The slot held at a gate.
    pub slot: Option<Timestamp>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body stays out: what upstreams and people wrote is in it.
        f.debug_struct("Document")
            .field("version", &self.version)
            .field("status", &self.status)
            .field("due", &self.due)
            .field("lease", &self.lease)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// What a write does to the lease, and so to the due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseChange {
    /// Leaves a lease alone, live or run out; on an unleased aggregate the due time becomes `due`. Whoever is not the
    /// holder writes this, with `Some(now)` unless there is nothing to do before a known time.
    Leave {
        /// The due time of an unleased aggregate.
        due: Option<Timestamp>,
    },
    /// Takes a lease on an aggregate that has none, not even one that ran out: else the commit conflicts.
    Take(Lease),
    /// Extends the lease with this token: if that is no longer the lease's token, the commit conflicts.
    Hold(Lease),
    /// Ends the lease with this token: if that is no longer the lease's token, the commit conflicts.
    End {
        /// The holder's token.
        token: Uuid,
        /// When to look again; `None`: never, unless somebody writes.
        due: Option<Timestamp>,
    },
}

/// What becomes of an aggregate.
#[derive(Clone)]
pub enum Change {
    /// The whole new body.
    Put {
        /// JSON.
        body: String,
        /// The new label.
        status: Cow<'static, str>,
        /// The new place in the order of pages.
        created_at: Timestamp,
        /// What becomes of the lease.
        lease: LeaseChange,
        /// For [`Kind::Receipt`] only: from then on it does not exist. `now` decides, an engine's own expiry only
        /// collects the garbage.
        expires_at: Option<Timestamp>,
    },
    /// Removes the aggregate from the store and from every index, whatever its lease: who erases saw its last version.
    Erase,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { status, lease, .. } => {
                f.debug_struct("Put").field("status", status).field("lease", lease).finish_non_exhaustive()
            }
            Self::Erase => f.write_str("Erase"),
        }
    }
}

/// One aggregate's part of a commit.
#[derive(Debug, Clone)]
pub struct Write {
    /// Which aggregate.
    pub key: Key,
    /// The version that it must still have; `None`: it must not exist.
    pub expected: Option<Version>,
    /// What becomes of it.
    pub change: Change,
}

/// A slot to be reserved with a commit, kept beside the aggregate `key` (one of the commit's writes).
#[derive(Debug, Clone)]
pub struct Reserve {
    /// The gate of the commit's tenant.
    pub gate: Gate,
    /// Beside which aggregate the slot is kept.
    pub key: Key,
}

/// All or nothing: if any expectation fails, nothing is written and no slot is taken.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Random. The last few ids are kept with their verdicts, so that a commit repeated after a lost answer has no
    /// second effect and gets the first one's answer.
    pub id: Uuid,
    /// What is written. An aggregate appears at most once.
    pub writes: Vec<Write>,
    /// Versions that must still stand, of aggregates that are not written.
    pub checks: Vec<(Key, Version)>,
    /// A slot to reserve with it.
    pub reserve: Option<Reserve>,
}

impl Commit {
    /// A commit of these writes, with a fresh id.
    pub fn of(writes: Vec<Write>) -> Self {
        Self { id: crate::ids::random_uuid(), writes, checks: Vec::new(), reserve: None }
    }

    /// The version that this commit gives to what it writes over `expected`.
    pub fn version_after(&self, expected: Option<Version>) -> Version {
        expected.unwrap_or(0) + 1
    }
}

/// What a commit came to.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Everything was written; every version written is the expected one plus one (1 for a new aggregate). With a
    /// reservation, the verdict says whether to go now; [`Verdict::Go`] without one.
    Done(Verdict),
    /// Something had changed; nothing was written. Load again.
    Conflict,
}

/// An aggregate that [`Engine::lease_due`] leased to the caller.
#[derive(Debug, Clone)]
pub struct Leased {
    /// Whose it is.
    pub tenant: Tenant,
    /// Which it is.
    pub key: Key,
    /// As it is now; its `lease` is the caller's.
    pub document: Document,
    /// The lease before ran out without having been ended: the step then under way has an unknown outcome.
    pub ran_out: bool,
}

/// What [`Engine::lease_due`] may take.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    /// At most that many.
    pub max: usize,
    /// At most that many of any one tenant.
    pub per_tenant: usize,
    /// Of these tenants none: they have their share already.
    pub skip: Vec<Tenant>,
    /// How long each lease lasts.
    pub duration: Duration,
}

/// How many aggregates there are of a kind in a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// The kind.
    pub kind: Kind,
    /// The status label.
    pub status: String,
    /// How many.
    pub count: u64,
    /// The earliest `created_at` among them.
    pub oldest: Option<Timestamp>,
}

/// One page of a tenant's leads, newest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// The aggregates.
    pub documents: Vec<(Key, Document)>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Cursor>,
}

impl Page {
    /// Of `limit + 1` aggregates asked for, the last only tells that there is another page.
    fn cut(mut documents: Vec<(Key, Document)>, limit: usize) -> Self {
        let more = documents.len() > limit;
        documents.truncate(limit);
        let last = documents.last().filter(|_| more);
        let next = last.map(|(key, document)| Cursor { created_at: document.created_at, id: key.id.clone() });
        Self { documents, next }
    }
}

/// A place in a tenant's leads: that of the last one seen. Travels as `<micros>.<id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Its `created_at`.
    pub created_at: Timestamp,
    /// Its id; ties in time are broken by it, descending.
    pub id: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.as_microsecond(), self.id)
    }
}

impl std::str::FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (micros, id) = text.split_once('.').ok_or(BadCursor)?;
        let micros = micros.parse().map_err(|_| BadCursor)?;
        Ok(Self { created_at: Timestamp::from_microsecond(micros).map_err(|_| BadCursor)?, id: id.to_owned() })
    }
}

/// The text is no cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: pass `next_cursor` of the previous page unchanged")]
pub struct BadCursor;

/// What [`Engine::load`] found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// One per key asked for, in that order.
    pub documents: Vec<Option<Document>>,
    /// One per gate asked for, in that order.
    pub gates: Vec<GateView>,
    /// How many of `documents` have been taken.
    taken: usize,
}

impl Loaded {
    /// What was found under the keys and gates that were asked for, each in that order.
    pub fn new(documents: Vec<Option<Document>>, gates: Vec<GateView>) -> Self {
        Self { documents, gates, taken: 0 }
    }

    /// The aggregate under the next of the keys that were asked for, read; `None` if there is none.
    pub fn take<A: Aggregate>(&mut self) -> Result<Option<Versioned<A>>, StoreError> {
        let next = self.documents.get_mut(self.taken).and_then(Option::take);
        self.taken += 1;
        Ok(next.map(Versioned::read).transpose()?)
    }

    /// The gates that were asked for.
    pub fn gates<const N: usize>(&self) -> [GateView; N] {
        std::array::from_fn(|index| self.gates.get(index).copied().unwrap_or_default())
    }
}

/// Why the store could not be asked. Never a conflict.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No answer, or a refusal to serve: try again later. Whether a commit took effect is unknown; repeat it as it is.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store takes nothing new. What is there can still be settled.
    #[error("the store is full")]
    Full,
    /// What is stored cannot be read by this version.
    #[error("the store holds what this version cannot read: {0}")]
    Corrupt(String),
}

/// How many aggregates [`Engine::wake`] changes as one unit.
const WAKEN_AT_ONCE: usize = 1_000;

/// Who is woken when: evenly over `spread`, in the order of `found`.
fn evenly<T>(found: Vec<T>, spread: Duration, now: Timestamp) -> Vec<(T, Timestamp)> {
    let count = found.len() as u128;
    let due = |nth: u128| {
        let delay = u64::try_from(spread.as_micros() * nth / count).unwrap_or(u64::MAX);
        crate::clock::later(now, Duration::from_micros(delay))
    };
    (0..).map(due).zip(found).map(|(due, one)| (one, due)).collect()
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

    /// Leases aggregates that are due at `now`, longest due first within a tenant, tenants taking turns. Does not move
    /// their versions. Atomic per tenant; a crash in the middle leaves leases that run out.
    async fn lease_due(&self, request: &LeaseRequest, now: Timestamp) -> Result<Vec<Leased>, StoreError>;

    /// When the next aggregate becomes due after `now`; `None`: none. What is due by `now` is [`Self::lease_due`]'s, and
    /// must not hide what comes.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Makes every unleased aggregate of that tenant, kind and one of those statuses due between `now` and
    /// `now + spread`, evenly and in the order of their creation; returns how many. Moves no version. In rounds of
    /// a thousand, so that a crowd holds up nobody: each is atomic, what somebody leases or takes out of these
    /// statuses meanwhile is left alone, and a crash in the middle leaves some woken. Harmless to repeat. What goes from
    /// one of them to another meanwhile may be missed, as what is leased is: who ends a lease has to check what
    /// the wake is about.
    async fn wake(
        &self,
        tenant: &Tenant,
        kind: Kind,
        statuses: &[&str],
        spread: Duration,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// One page of a tenant's leads, newest first, of one status or of all, after `cursor`.
    async fn page(
        &self,
        tenant: &Tenant,
        status: Option<&str>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// Count and oldest by kind and status, over all tenants, of what is indexed (all but receipts). Not one atomic
    /// view: each partition is read by itself.
    async fn depths(&self, now: Timestamp) -> Result<Vec<Depth>, StoreError>;

    /// Whether a write would succeed right now.
    async fn ping(&self) -> Result<(), StoreError>;

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

    /// The store's own clock, where it has one that replicas share.
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

/// The handle on the store. Wakes the local reconciler when something it wrote is due before what that waits for.
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    alarm: Arc<Alarm>,
    clock: SharedClock,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// A handle on `engine`; its clock is the engine's, or the machine's where the engine has none.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        let clock = engine.clock().unwrap_or_else(|| Arc::new(SystemClock));
        Self { engine, alarm: Arc::default(), clock }
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

    /// Resolves after a local write that may have made something due before `until`, what the caller has found to be the
    /// next due time. One permit is kept, so a write between two calls is not missed; and whatever is written before
    /// this is called counts, so neither is one since the caller looked.
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

    /// The same commit again for as long as `patience`, in real time, while its outcome is unknown: it has an effect
    /// once. Bounded by time and not by tries: on a store that does not answer each try may take seconds.
    pub async fn commit_patiently(
        &self,
        tenant: &Tenant,
        commit: &Commit,
        clock: &SharedClock,
        patience: Duration,
    ) -> Result<Committed, StoreError> {
        tries::until_answered(patience, || self.commit(tenant, commit, clock.now())).await
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
impl std::ops::Deref for Store {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        &*self.engine
    }
}

impl Write {
    /// The due time that it gives, unless a lease outranks it.
    fn due(&self) -> Option<Timestamp> {
        match &self.change {
            Change::Put { lease: LeaseChange::Leave { due } | LeaseChange::End { due, .. }, .. } => *due,
            Change::Put { .. } | Change::Erase => None,
        }
    }
}
