//! The gates before the upstreams: leave to call, and what came of calling.

use super::leased::{Pass, Work};
use crate::{
    clock::later,
    ids::unit_random,
    leads::{
        lead::{
            next_step::Step,
            shown::{Showing, Title},
        },
        service::Leads,
    },
    store::{
        Reserve, StoreError, Tenant,
        gate::{Gate, GateReport, GateView, Verdict},
    },
    upstream::breaker::{HeldBack, Probe},
};

impl Leads {
    /// Leave from the breaker over ALC as a whole, and from the workspace's own gate.
    pub(super) async fn alc_lets_through(&self, work: &mut Work) -> Result<bool, StoreError> {
        if work.alc_probe.is_none() {
            match self.alc_breaker.lets_through(self.parts.clock.now()) {
                Ok(probe) => work.alc_probe = probe,
                Err(HeldBack { until, spread }) => {
                    return Ok(work.alc.take_down(Verdict::At(later(until, spread.mul_f64(unit_random())))));
                }
            }
        }
        let goes = self.alc_gate_lets_through(work).await?;
        if !goes {
            // Another workspace's lead may probe.
            work.alc_probe = None;
        }
        Ok(goes)
    }

    /// ALC's gate only breaks and never paces: an open one needs no visit.
    async fn alc_gate_lets_through(&self, work: &mut Work) -> Result<bool, StoreError> {
        if work.alc.go || work.alc.view.closed_until.is_none() {
            return Ok(true);
        }
        let now = self.parts.clock.now();
        let verdict = self.parts.store.reserve(&work.tenant, &self.settings.gates.alc, None, now).await?;
        Ok(work.alc.take_down(verdict))
    }

    /// Leave from Attio's gate, which paces: the lead keeps the slot that it is given.
    async fn attio_lets_through(&self, work: &mut Work, gate: Gate) -> Result<bool, StoreError> {
        if work.attio.go {
            return Ok(true);
        }
        let now = self.parts.clock.now();
        let verdict = self.parts.store.reserve(&work.tenant, &gate, Some(&work.key), now).await?;
        Ok(work.attio.take_down(verdict))
    }

    /// ALC has answered: its gate opens, whatever the answer says of the lead.
    pub(super) async fn alc_answered(&self, work: &mut Work) {
        self.report_on_alc(work, GateReport::Recovered).await;
    }

    /// Leave from Attio's gate, and the time for a whole attempt on both sides of asking for it; `false`: plan anew.
    pub(super) async fn may_write(&self, work: &mut Work, gate: Gate) -> Result<bool, StoreError> {
        Ok(self.ensure_time(work).await? && self.attio_lets_through(work, gate).await? && self.has_time(work))
    }

    /// Attio's gate. What a send came to goes before every Pending: a bulk that has just been sent holds its slots for
    /// minutes, and a person waits for the result.
    pub(super) fn gate_for(&self, showing: Showing) -> Gate {
        let gate = self.settings.gates.attio;
        if showing.title == Title::Pending { gate } else { gate.ahead() }
    }

    /// The turn at Attio's gate that a commit takes along, if the record is written next.
    pub(super) fn turn_before(&self, step: Step, work: &Work) -> Option<Reserve> {
        let Step::Show(showing) = step else { return None };
        Some(Reserve { gate: self.gate_for(showing), key: work.key.clone() })
    }

    /// Tells ALC's gate, and the breaker over ALC as a whole, what came of a call.
    pub(super) async fn report_on_alc(&self, work: &mut Work, report: GateReport) {
        let probe = work.alc_probe.take();
        self.alc_fared(&work.tenant, probe, &mut work.alc, report).await;
    }

    /// The same, of whatever work it was for.
    pub(in crate::leads) async fn alc_fared(
        &self,
        tenant: &Tenant,
        probe: Option<Probe>,
        pass: &mut Pass,
        report: GateReport,
    ) {
        match report {
            GateReport::Failed => self.alc_breaker.failed(tenant.as_str(), probe, self.parts.clock.now()),
            GateReport::Recovered | GateReport::Limited { .. } | GateReport::Opened => {
                // Before the store is waited for: the breaker may open again by then, with another probe.
                drop(probe);
                self.alc_breaker.answered();
            }
        }
        self.report(tenant, &self.settings.gates.alc, pass, report).await;
    }

    /// Tells Attio's gate what came of a call.
    pub(super) async fn report_on_attio(&self, work: &mut Work, report: GateReport) {
        self.report(&work.tenant, &self.settings.gates.attio, &mut work.attio, report).await;
    }

    /// Tells a gate how its upstream fares; a gate without failures needs no good news.
    pub(in crate::leads) async fn report(&self, tenant: &Tenant, gate: &Gate, pass: &mut Pass, report: GateReport) {
        let view = &mut pass.view;
        match report {
            GateReport::Recovered if view.failures == 0 && view.closed_until.is_none() => return,
            GateReport::Recovered | GateReport::Opened => *view = GateView::default(),
            GateReport::Failed => view.failures = view.failures.saturating_add(1),
            GateReport::Limited { .. } => {}
        }
        if let Err(error) = self.parts.store.report(tenant, gate, report, self.parts.clock.now()).await {
            // The gate is advice; the lead's own back-off stands without it.
            tracing::warn!(%error, upstream = gate.upstream, "could not report to the gate");
        }
        // The next press is to see the gate as it is now. Not before the store knows: a press in between would load the
        // gate as it was, and that would be remembered.
        self.recent.forget(tenant);
    }
}
