//! Every request that came in, in the order of arrival.
//!
//! Owns the record of one pretend service. Promises that a request is in it before anything is done about it, and that
//! waiting for one needs neither sleeping nor polling.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{Fault, Reply, Request};

/// One order over all pretend services of a process, so that their records can be read side by side.
static ORDER: AtomicU64 = AtomicU64::new(1);

/// The next place in the order over all pretend services of this process.
pub(crate) fn next_order() -> u64 {
    ORDER.fetch_add(1, Ordering::Relaxed)
}

/// How long [`Journal::wait_for`] waits before it gives up on the test.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request that came in.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// Its place among all requests to all pretend services of this process.
    pub order: u64,
    /// When, by the pretend service's clock.
    pub at: Timestamp,
    /// The operation's name; `unknown` for a path that the service does not have.
    pub operation: &'static str,
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The raw query.
    pub query: String,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
    /// What was answered: none while it is under way, and for ever if it never was.
    pub status: Option<u16>,
    /// The body of that answer.
    pub answer: Option<String>,
    /// What it met, if a fault.
    pub fault: Option<Fault>,
}

impl Seen {
    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The `Idempotency-Key`.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.header("idempotency-key")
    }
}

/// The record of one pretend service. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal {
    operations: &'static [&'static str],
    seen: Arc<Mutex<Vec<Seen>>>,
    changed: watch::Sender<u64>,
}

impl Journal {
    pub(super) fn new(operations: &'static [&'static str]) -> Self {
        Self { operations, seen: Arc::default(), changed: watch::Sender::new(0) }
    }

    /// A misspelt operation would be one that never comes: better to say so.
    fn check(&self, operation: &str) {
        let known = operation == "unknown" || self.operations.contains(&operation);
        assert!(known, "no operation {operation:?}; there are {:?}", self.operations);
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arrived(&self, at: Timestamp, operation: &'static str, request: &Request, fault: &Fault) -> u64 {
        let mut seen = self.seen();
        let order = next_order();
        seen.push(Seen {
            order,
            at,
            operation,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
            status: None,
            answer: None,
            fault: (*fault != Fault::Pass).then(|| fault.clone()),
        });
        drop(seen);
        self.changed.send_modify(|version| *version += 1);
        order
    }

    pub(super) fn answered(&self, order: u64, reply: &Reply) {
        if let Some(seen) = self.seen().iter_mut().rev().find(|seen| seen.order == order) {
            seen.status = Some(reply.status);
            seen.answer = Some(String::from_utf8_lossy(&reply.body).into_owned());
        }
        self.changed.send_modify(|version| *version += 1);
    }

    /// Everything, in order.
    pub fn all(&self) -> Vec<Seen> {
        self.seen().clone()
    }

    /// The requests of one operation, in order.
    pub fn requests(&self, operation: &str) -> Vec<Seen> {
        self.check(operation);
        self.seen().iter().filter(|seen| seen.operation == operation).cloned().collect()
    }

    /// How many requests of one operation came in.
    pub fn count(&self, operation: &str) -> usize {
        self.check(operation);
        self.seen().iter().filter(|seen| seen.operation == operation).count()
    }

    /// How many requests of one operation have no answer yet; those that never get one stay among them.
    pub fn under_way(&self, operation: &str) -> usize {
        self.check(operation);
        self.seen().iter().filter(|seen| seen.operation == operation && seen.status.is_none()).count()
    }

    /// Forgets everything so far.
    pub fn forget(&self) {
        self.seen().clear();
    }

    /// Waits until `count` requests of `operation` have arrived (not: were answered), and gives them back.
    ///
    /// # Panics
    /// After 20 s, saying what came instead: a test that waits for what never happens has failed.
    pub async fn wait_for(&self, operation: &str, count: usize) -> Vec<Seen> {
        self.wait_until(operation, count, |_| true).await
    }

    /// Waits until `count` requests of `operation` have been answered, and gives them back. Panics as `wait_for` does.
    pub async fn wait_answered(&self, operation: &str, count: usize) -> Vec<Seen> {
        self.wait_until(operation, count, |seen| seen.status.is_some()).await
    }

    async fn wait_until(&self, operation: &str, count: usize, ready: fn(&Seen) -> bool) -> Vec<Seen> {
        let found = self.wait_at_most(PATIENCE, operation, count, ready).await;
        found.unwrap_or_else(|| {
            let came: Vec<_> = self.seen().iter().map(|seen| (seen.operation, seen.status)).collect();
            panic!("waited in vain for {count} × {operation}; there came {came:?}")
        })
    }

    pub(super) async fn wait_at_most(
        &self,
        patience: Duration,
        operation: &str,
        count: usize,
        ready: fn(&Seen) -> bool,
    ) -> Option<Vec<Seen>> {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                // Marked before looking: what arrives in between wakes the wait below.
                changed.mark_unchanged();
                let found: Vec<_> = self.requests(operation).into_iter().filter(ready).collect();
                if found.len() >= count {
                    return found;
                }
                drop(changed.changed().await);
            }
        };
        tokio::time::timeout(patience, waiting).await.ok()
    }
}
