//! What the operator sets for leads.

use std::time::Duration;

use super::lead::{next_step::Deadlines, shown::Title};
use crate::upstream::Schedule;

/// The slugs of our attributes on People.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// Shows the title.
    pub status: String,
    /// Shows ALC's id; `None`: not written.
    pub lead_id: Option<String>,
    /// Shows ALC's word, or the reason of a failure; `None`: not written.
    pub result: Option<String>,
}

/// The titles that the status attribute shows.
#[derive(Debug, Clone)]
pub struct Titles {
    /// ALC has the lead.
    pub pending: String,
    /// ALC has given its result.
    pub complete: String,
    /// The send failed.
    pub failed: String,
}

impl Titles {
    /// The operator's word for a title.
    pub(super) fn of(&self, title: Title) -> &str {
        match title {
            Title::Pending => &self.pending,
            Title::Complete => &self.complete,
            Title::Failed => &self.failed,
        }
    }
}

/// What the operator sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Deadlines, retention, polling.
    pub deadlines: Deadlines,
    /// `RETRY__SCHEDULE`.
    pub schedule: Schedule,
    /// `ALC__RESEND_UNKNOWN`.
    pub resend_unknown: bool,
    /// `LEADS__SEND_WAIT`.
    pub send_wait: Duration,
    /// The longer of the two upstream timeouts.
    pub upstream_timeout: Duration,
    /// `LEADS__DEFAULT_REGION`.
    pub default_region: Option<String>,
    /// `ATTIO__ATTRIBUTES__*`.
    pub attributes: Attributes,
    /// `ATTIO__TITLES__*`.
    pub titles: Titles,
    /// `ATTIO__WRITES_PER_SECOND`.
    pub attio_writes_per_second: u32,
}
