//! What the operator sets for leads.

use std::time::Duration;

use super::lead::next_step::Deadlines;
use crate::{
    attio::{Attributes, Pipeline, Titles},
    store::gate::Gates,
    upstream::Schedule,
};

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
    /// `ATTIO__NOTE`: results are told in notes.
    pub note: bool,
    /// `ATTIO__PIPELINE__*`; `None`: off.
    pub pipeline: Option<Pipeline>,
    /// What every request to an upstream goes through.
    pub gates: Gates,
}
