//! An engine, measured: how long each operation takes, what fails, what meets a conflict, which leases had run out.
//!
//! Promises that an operation's answer passes through unchanged, and that measuring it looks up no metric: each is
//! registered once, as the store opens. A method that [`Engine`] gets with a body of its own has to be passed on here
//! too, or the engine's own is never asked.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use metrics::{Counter, Histogram, counter, histogram};

use super::{
    commit::{Commit, Committed},
    degraded::Degraded,
    document::{Key, Kind, Tenant},
    engine::Engine,
    error::StoreError,
    found::{Cursor, Depth, Due, LeaseRequest, Leased, Loaded, Page, Taken},
    gate::{Gate, GateReport, Verdict},
    pressure::Pressure,
};
use crate::clock::{SharedClock, until};

/// One operation of the store.
struct Operation {
    took: Histogram,
    errors: Counter,
}

impl Operation {
    fn new(operation: &'static str) -> Self {
        Self {
            took: histogram!("alc_connector_store_operation_duration_seconds", "operation" => operation),
            errors: counter!("alc_connector_store_errors_total", "operation" => operation),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "how long the store took is for people; nothing is decided by it")]
    async fn timed<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> (Result<T, StoreError>, Duration) {
        let began = std::time::Instant::now();
        let answer = asked.await;
        let took = began.elapsed();
        self.took.record(took.as_secs_f64());
        if answer.is_err() {
            self.errors.increment(1);
        }
        (answer, took)
    }

    async fn of<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.timed(asked).await.0
    }
}

/// The leases on one kind of aggregate.
struct Leases {
    kind: Kind,
    delay: Histogram,
    lost: Counter,
}

impl Leases {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            delay: histogram!("alc_connector_lease_delay_seconds", "kind" => kind.name()),
            lost: counter!("alc_connector_leases_lost_total", "kind" => kind.name()),
        }
    }

    fn note(&self, leased: &Leased, now: Timestamp) {
        if leased.ran_out {
            // Due was then the end of that lease, which says nothing of how busy the workers are.
            self.lost.increment(1);
        } else if let Some(due) = leased.document.due {
            self.delay.record(until(due, now).as_secs_f64());
        }
    }
}

/// The engine, and what is measured of it.
pub(super) struct Measured {
    engine: Arc<dyn Engine>,
    pressure: Pressure,
    load: Operation,
    commit: Operation,
    lease_due: Operation,
    put_back: Operation,
    next_due: Operation,
    wake: Operation,
    page: Operation,
    depths: Operation,
    tenants: Operation,
    reserve: Operation,
    report: Operation,
    gate_waits: [(&'static str, Histogram); 3],
    conflicts: Counter,
    leases: [Leases; 5],
}

impl Measured {
    pub(super) fn new(engine: Arc<dyn Engine>, pressure: Pressure) -> Self {
        Self {
            engine,
            pressure,
            load: Operation::new("load"),
            commit: Operation::new("commit"),
            gate_waits: ["alc", "attio", "workflow"]
                .map(|upstream| (upstream, histogram!("alc_connector_gate_wait_seconds", "upstream" => upstream))),
            lease_due: Operation::new("lease_due"),
            put_back: Operation::new("put_back"),
            next_due: Operation::new("next_due"),
            wake: Operation::new("wake"),
            page: Operation::new("page"),
            depths: Operation::new("depths"),
            tenants: Operation::new("tenants"),
            reserve: Operation::new("reserve"),
            report: Operation::new("report"),
            conflicts: counter!("alc_connector_store_conflicts_total"),
            leases: [Kind::Lead, Kind::Workspace, Kind::Attempt, Kind::Sync, Kind::Prospect].map(Leases::new),
        }
    }

    fn note_wait(&self, gate: &Gate, verdict: Verdict, now: Timestamp) {
        let wait = match verdict {
            Verdict::Go => Duration::ZERO,
            Verdict::At(slot) => until(now, slot),
        };
        if let Some((_, waits)) = self.gate_waits.iter().find(|(upstream, _)| *upstream == gate.upstream) {
            waits.record(wait.as_secs_f64());
        }
    }
}

#[async_trait]
impl Engine for Measured {
    async fn load(&self, tenant: &Tenant, keys: &[Key], gates: &[Gate], now: Timestamp) -> Result<Loaded, StoreError> {
        self.load.of(self.engine.load(tenant, keys, gates, now)).await
    }

    async fn commit(&self, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed, StoreError> {
        let (committed, took) = self.commit.timed(self.engine.commit(tenant, commit, now)).await;
        let committed = committed?;
        self.pressure.took(took);
        match (committed, &commit.reserve) {
            (Committed::Conflict, _) => self.conflicts.increment(1),
            (Committed::Done(verdict), Some(reserve)) => self.note_wait(&reserve.gate, verdict, now),
            (Committed::Done(_), None) => {}
        }
        Ok(committed)
    }

    async fn lease_due(&self, request: &LeaseRequest, now: Timestamp) -> Result<Due, StoreError> {
        let found = self.lease_due.of(self.engine.lease_due(request, now)).await?;
        for one in &found.leased {
            if let Some(leases) = self.leases.iter().find(|leases| leases.kind == one.key.kind) {
                leases.note(one, now);
            }
        }
        Ok(found)
    }

    async fn put_back(
        &self,
        tenant: &Tenant,
        taken: &Taken,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.put_back.of(self.engine.put_back(tenant, taken, due, now)).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.next_due.of(self.engine.next_due(now)).await
    }

    async fn wake(
        &self,
        tenant: &Tenant,
        kind: Kind,
        statuses: &[&str],
        spread: Duration,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.wake.of(self.engine.wake(tenant, kind, statuses, spread, now)).await
    }

    async fn unleased(&self, tenant: &Tenant, kind: Kind, statuses: &[&str]) -> Result<Vec<String>, StoreError> {
        self.page.of(self.engine.unleased(tenant, kind, statuses)).await
    }

    async fn page(
        &self,
        tenant: &Tenant,
        statuses: &[&str],
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.page.of(self.engine.page(tenant, statuses, cursor, limit)).await
    }

    async fn depths(&self, now: Timestamp) -> Result<Vec<Depth>, StoreError> {
        self.depths.of(self.engine.depths(now)).await
    }

    async fn tenants(&self, kind: Kind) -> Result<BTreeSet<Tenant>, StoreError> {
        self.tenants.of(self.engine.tenants(kind)).await
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
        let verdict = self.reserve.of(self.engine.reserve(tenant, gate, held, now)).await?;
        self.note_wait(gate, verdict, now);
        Ok(verdict)
    }

    async fn report(&self, tenant: &Tenant, gate: &Gate, report: GateReport, now: Timestamp) -> Result<(), StoreError> {
        let told = match report {
            GateReport::Limited { .. } => "limited",
            GateReport::Failed => "failed",
            GateReport::Recovered => "recovered",
            GateReport::Opened => "opened",
        };
        counter!("alc_connector_gate_reports_total", "upstream" => gate.upstream, "report" => told).increment(1);
        self.report.of(self.engine.report(tenant, gate, report, now)).await
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

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::store::{
        conformance::{at, commit, create, due, lead, put, tenant},
        sqlite::SqliteEngine,
    };

    #[tokio::test]
    async fn what_the_store_does_is_counted_and_timed() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let dir = tempfile::tempdir().expect("a folder");
        let engine = SqliteEngine::open(&dir.path().join("store"), Duration::ZERO).await.expect("it opens");
        let measured = Measured::new(Arc::new(engine), Pressure::default());
        let lead = lead(1);
        create(&measured, &tenant(), &lead, due(at(10))).await;
        let request = LeaseRequest::up_to(1, Duration::from_secs(30));
        for now in [15, 100] {
            assert_eq!(measured.lease_due(&request, at(now)).await.expect("it answers").leased.len(), 1);
        }
        assert_eq!(commit(&measured, vec![put(&lead, Some(7), due(at(10)))], at(100)).await, Committed::Conflict);
        let paced = Gate { upstream: "attio", per_second: Some(1), ahead: false };
        for _ in 0..2 {
            measured.reserve(&tenant(), &paced, None, at(100)).await.expect("it answers");
        }
        measured.report(&tenant(), &paced, GateReport::Failed, at(100)).await.expect("it answers");
        measured.close().await;
        let late = Commit::of(vec![put(&lead, Some(1), due(at(10)))]);
        assert!(measured.commit(&tenant(), &late, at(100)).await.is_err());

        let text = recorder.handle().render();
        for line in [
            r#"alc_connector_lease_delay_seconds_sum{kind="lead"} 5"#,
            r#"alc_connector_lease_delay_seconds_count{kind="lead"} 1"#,
            r#"alc_connector_leases_lost_total{kind="lead"} 1"#,
            r#"alc_connector_leases_lost_total{kind="workspace"} 0"#,
            "alc_connector_store_conflicts_total 1",
            r#"alc_connector_store_operation_duration_seconds_count{operation="commit"} 3"#,
            r#"alc_connector_store_errors_total{operation="commit"} 1"#,
            r#"alc_connector_store_errors_total{operation="load"} 0"#,
            r#"alc_connector_gate_wait_seconds_count{upstream="attio"} 2"#,
            r#"alc_connector_gate_wait_seconds_sum{upstream="attio"} 1.04"#,
            r#"alc_connector_gate_reports_total{upstream="attio",report="failed"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
