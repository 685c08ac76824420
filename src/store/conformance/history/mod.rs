//! What several workers asked an engine and were answered, and whether that can be true.
//!
//! Owns [`Recorded`], an engine that writes down each call beside another engine; `checker`, which judges what is
//! written down; and `workers`, the drawn workers that are let loose on an engine. A history knows no order within the
//! engine, only when each call began and ended: the checker complains of nothing that some order explains.

mod checker;
mod tests;
mod workers;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::*;
use crate::{
    clock::SharedClock,
    store::{
        Cursor, Degraded, Depth, Due, Loaded, Page, StoreError,
        gate::{Gate, GateReport},
    },
};

/// One call, and when it began and ended among all calls.
#[derive(Debug, Clone)]
struct Call {
    began: u64,
    /// None: its caller went away before the answer.
    ended: Option<u64>,
    /// The store's time that it was made at.
    now: Timestamp,
    tenant: Tenant,
    asked: Asked,
}

#[derive(Debug, Clone)]
enum Asked {
    /// None: the answer was lost.
    Commit(Commit, Option<Committed>),
    /// One of what a call leased.
    Leased {
        key: Key,
        version: Version,
        lease: Lease,
        ran_out: bool,
    },
    PutBack(Taken, Option<bool>),
    /// One of what a call loaded.
    Loaded(Key, Option<Version>),
}

/// An engine that does what the one beside it does, and writes down each commit, lease, put-back and load.
struct Recorded {
    engine: Arc<dyn Engine>,
    calls: Mutex<Vec<Call>>,
    moment: AtomicU64,
}

impl Recorded {
    fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, calls: Mutex::default(), moment: AtomicU64::new(0) }
    }

    /// What was written down so far, which is then forgotten.
    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn moment(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    /// Before the call is made, as its caller may go away in the middle of it.
    fn begin(&self, tenant: &Tenant, now: Timestamp, asked: Asked) -> usize {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(Call { began: self.moment(), ended: None, now, tenant: tenant.clone(), asked });
        calls.len() - 1
    }

    fn end(&self, at: usize, answered: impl FnOnce(&mut Asked)) {
        let ended = self.moment();
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let call = &mut calls[at];
        call.ended = Some(ended);
        answered(&mut call.asked);
    }

    /// What becomes known with the answer.
    fn note(&self, began: u64, tenant: &Tenant, now: Timestamp, asked: Asked) {
        let ended = Some(self.moment());
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(Call { began, ended, now, tenant: tenant.clone(), asked });
    }
}

#[async_trait]
impl Engine for Recorded {
    async fn load(&self, tenant: &Tenant, keys: &[Key], gates: &[Gate], now: Timestamp) -> Result<Loaded, StoreError> {
        let began = self.moment();
        let loaded = self.engine.load(tenant, keys, gates, now).await?;
        for (key, found) in keys.iter().zip(&loaded.documents) {
            let version = found.as_ref().map(|document| document.version);
            self.note(began, tenant, now, Asked::Loaded(key.clone(), version));
        }
        Ok(loaded)
    }

    async fn unleased(&self, tenant: &Tenant, kind: Kind, statuses: &[&str]) -> Result<Vec<String>, StoreError> {
        self.engine.unleased(tenant, kind, statuses).await
    }

    async fn commit(&self, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed, StoreError> {
        let at = self.begin(tenant, now, Asked::Commit(commit.clone(), None));
        let committed = self.engine.commit(tenant, commit, now).await?;
        self.end(at, |asked| {
            if let Asked::Commit(_, answer) = asked {
                *answer = Some(committed);
            }
        });
        Ok(committed)
    }

    async fn lease_due(&self, request: &LeaseRequest, now: Timestamp) -> Result<Due, StoreError> {
        let began = self.moment();
        let due = self.engine.lease_due(request, now).await?;
        for one in &due.leased {
            let lease = one.document.lease.expect("it is leased");
            let (key, version, ran_out) = (one.key.clone(), one.document.version, one.ran_out);
            self.note(began, &one.tenant, now, Asked::Leased { key, version, lease, ran_out });
        }
        Ok(due)
    }

    async fn put_back(
        &self,
        tenant: &Tenant,
        taken: &Taken,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let at = self.begin(tenant, now, Asked::PutBack(taken.clone(), None));
        let done = self.engine.put_back(tenant, taken, due, now).await?;
        self.end(at, |asked| {
            if let Asked::PutBack(_, answer) = asked {
                *answer = Some(done);
            }
        });
        Ok(done)
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.engine.next_due(now).await
    }

    async fn wake(
        &self,
        tenant: &Tenant,
        kind: Kind,
        statuses: &[&str],
        spread: Duration,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.engine.wake(tenant, kind, statuses, spread, now).await
    }

    async fn page(
        &self,
        tenant: &Tenant,
        statuses: &[&str],
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.engine.page(tenant, statuses, cursor, limit).await
    }

    async fn depths(&self, now: Timestamp) -> Result<Vec<Depth>, StoreError> {
        self.engine.depths(now).await
    }

    async fn tenants(&self, kind: Kind) -> Result<BTreeSet<Tenant>, StoreError> {
        self.engine.tenants(kind).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.engine.ping().await
    }

    async fn serving(&self) -> Result<BTreeSet<Degraded>, StoreError> {
        self.engine.serving().await
    }

    async fn reserve(
        &self,
        tenant: &Tenant,
        gate: &Gate,
        held: Option<&Key>,
        now: Timestamp,
    ) -> Result<Verdict, StoreError> {
        self.engine.reserve(tenant, gate, held, now).await
    }

    async fn report(&self, tenant: &Tenant, gate: &Gate, report: GateReport, now: Timestamp) -> Result<(), StoreError> {
        self.engine.report(tenant, gate, report, now).await
    }

    fn clock(&self) -> Option<SharedClock> {
        self.engine.clock()
    }

    fn broken(&self) -> Option<&'static str> {
        self.engine.broken()
    }

    async fn close(&self) {
        self.engine.close().await;
    }
}
