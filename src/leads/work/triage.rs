//! What the error of a call says of its upstream as a whole, and when the call may be made again.

use std::time::Duration;

use crate::{
    clock::{Timestamp, later},
    ids::unit_random,
    leads::{lead::alc::Again, service::Leads},
    store::gate::GateReport,
    upstream::CallError,
};

/// After a pause the leads come back within so long, not all at once.
const AFTER_A_PAUSE: Duration = Duration::from_millis(500);

/// What an error means, whatever the call was for.
pub(in crate::leads) struct Triage {
    /// What the upstream's gate is told.
    pub(in crate::leads) report: GateReport,
    /// The time that the upstream named for another try.
    pub(in crate::leads) asked: Option<Timestamp>,
}

/// The one reading of a call's error for the gate and the schedule; what it means for the lead is the step's to say.
pub(in crate::leads) fn triage(error: &CallError) -> Triage {
    let (report, asked) = match error {
        CallError::RateLimited { until } => (GateReport::Limited { until: *until }, Some(*until)),
        CallError::Unknown { retry_after, .. } => (GateReport::Failed, *retry_after),
        CallError::NotSent { .. } => (GateReport::Failed, None),
        // The upstream is there, whatever it said of this call.
        CallError::Unreadable { .. }
        | CallError::Unauthorized
        | CallError::Forbidden { .. }
        | CallError::NotFound
        | CallError::Unsupported
        | CallError::Conflict { .. }
        | CallError::Rejected { .. } => (GateReport::Recovered, None),
    };
    Triage { report, asked }
}

impl Leads {
    /// The next try of what an upstream refuses until a person acts.
    pub(in crate::leads) fn slowly(&self) -> Again {
        Again::failed(self.settings.schedule.slowest(unit_random(), self.parts.clock.now()))
    }
}

impl Triage {
    /// When the call is made again, after `failures` failures in a row.
    pub(in crate::leads) fn again(&self, leads: &Leads, failures: u32) -> Again {
        match self.report {
            // The gate holds every lead until then; a wait of the lead's own would only come on top of that.
            GateReport::Limited { until } => Again::paused(later(until, AFTER_A_PAUSE.mul_f64(unit_random()))),
            GateReport::Failed | GateReport::Recovered | GateReport::Opened => {
                Again::failed(leads.retry_at(failures, self.asked))
            }
        }
    }
}
