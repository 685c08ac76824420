//! What several sections say of a setting that is missing, and what they bound.

use std::time::Duration;

/// One attempt at an upstream must fit into a lease and into what a caller waits.
pub(super) const LONGEST_TIMEOUT: Duration = Duration::from_secs(12);

pub(super) const DURATION: &str = "set it to a duration such as 10s";
pub(super) const AN_URL: &str = "set it to an https URL";
