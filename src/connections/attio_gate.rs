//! The gate before Attio that all writes to one workspace share, over all replicas.

use std::time::Duration;

use jiff::Timestamp;

use super::service::{Connections, pause};
use crate::{
    clock::until,
    store::{
        StoreError, Tenant,
        gate::{GateReport, Verdict},
    },
};

/// How long a write waits for its turn at the gate. A thousand leads may be ahead of it while Attio waits for the
/// answer to connection-added; the few writes of a connect fit into what the gate leaves free.
const TURN_WAIT: Duration = Duration::from_secs(2);

impl Connections {
    /// Waits for a turn at the gate.
    pub(super) async fn attio_turn(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let now = self.clock.now();
        if let Verdict::At(slot) = self.store.reserve(tenant, &self.settings.attio_gate, None, now).await? {
            pause(until(now, slot).min(TURN_WAIT)).await;
        }
        Ok(())
    }

    /// Attio says that it is limiting requests: no replica writes to this workspace before then.
    pub(super) async fn report_attio_limit(&self, tenant: &Tenant, until: Timestamp) {
        let report = GateReport::Limited { until };
        // Without the store no writer has a turn anyway.
        drop(self.store.report(tenant, &self.settings.attio_gate, report, self.clock.now()).await);
    }
}
