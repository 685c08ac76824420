//! What the error of a call says of its upstream as a whole, and when the call may be made again.

use crate::{clock::Timestamp, store::gate::GateReport, upstream::CallError};

/// What an error means, whatever the call was for.
pub(super) struct Triage {
    /// What the upstream's gate is told.
    pub(super) report: GateReport,
    /// The time that the upstream named for another try.
    pub(super) asked: Option<Timestamp>,
}

/// The one reading of a call's error for the gate and the schedule; what it means for the lead is the step's to say.
pub(super) fn triage(error: &CallError) -> Triage {
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
