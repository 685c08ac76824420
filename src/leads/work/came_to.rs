//! What a step came to, as the metrics name it: read off the lead before and after, so that no step has to say it.

use super::leased::Work;
use crate::{clock::Timestamp, store::Version};

/// Where the lead stood before a step.
pub(super) struct Standing {
    version: Version,
    failures: u32,
    retries: [Option<Timestamp>; 2],
}

impl Standing {
    pub(super) fn of(work: &Work) -> Self {
        let lead = &work.lead.value;
        let of_calls = lead.calls.owed.iter().map(|owed| owed.failures);
        let failures = [lead.send.failures, lead.attio.failures].into_iter().chain(of_calls);
        Self {
            version: work.lead.version(),
            failures: failures.fold(0, u32::saturating_add),
            retries: [lead.send.retry_at, lead.attio.retry_at],
        }
    }

    /// `failed`: an upstream did not do it. `put_off`: the upstream wants to be asked later. `held_back`: nothing was
    /// asked, for want of leave by a gate, of a grant, or of time.
    pub(super) fn outcome(&self, work: &Work, was_stored: bool) -> &'static str {
        let after = Self::of(work);
        let is_put_off =
            self.retries.iter().zip(&after.retries).any(|(before, after)| after.is_some() && before != after);
        if !was_stored {
            "store_error"
        } else if after.failures > self.failures {
            "failed"
        } else if after.version == self.version && work.lease.is_some() {
            "held_back"
        } else if is_put_off {
            "put_off"
        } else {
            "done"
        }
    }
}
