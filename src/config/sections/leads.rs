//! The times that bound a lead's life.

use std::time::Duration;

use super::hints::DURATION;
use crate::config::{check, reader::Reader};

/// Attio gives the button 30 s.
const LONGEST_SEND_WAIT: Duration = Duration::from_secs(28);

/// Attio repeats an event for three days, at most.
const REPEATED_FOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// `LEADS__…`.
#[derive(Debug, Clone)]
pub struct Leads {
    /// How long the button waits before 202 instead of 201.
    pub send_wait: Duration,
    /// A lead still not at ALC by then fails as `not-sent`.
    pub send_deadline: Duration,
    /// A pending lead older than this fails as `timed-out`.
    pub deadline: Duration,
    /// A finished lead is forgotten after this.
    pub retention: Duration,
    /// For numbers without `+`; `None`: such numbers are refused.
    pub default_region: Option<String>,
}

impl Leads {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let send_wait = r.parsed("leads.send_wait", DURATION, check::duration_up_to(LONGEST_SEND_WAIT));
        let send_deadline = r.parsed("leads.send_deadline", DURATION, check::positive_duration);
        let deadline = r.parsed("leads.deadline", DURATION, check::positive_duration);
        let retention = r.parsed("leads.retention", DURATION, check::positive_duration);
        let default_region = r.parsed_if_set("leads.default_region", check::region);
        Some(Self {
            send_wait: send_wait?,
            send_deadline: send_deadline?,
            deadline: deadline?,
            retention: retention?,
            default_region,
        })
    }

    /// Where list entries send, a lead has to be remembered for as long as Attio may tell of its entry again: else one
    /// entry would send twice.
    pub(in crate::config) fn outlive_repeats(&self, r: &mut Reader) {
        if self.retention <= REPEATED_FOR {
            let fault = "must be more than 3d while ATTIO__SEND_ON_LIST is set: Attio repeats an event for so long, and an \
                         entry whose lead is forgotten would be sent again";
            r.fault("leads.retention", fault);
        }
    }
}
