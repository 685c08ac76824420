//! What the service is told by its operator.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::upstream::Schedule;

/// Whether callbacks have to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WebhookSignature {
    /// A registration without a secret fails.
    Required,
    /// If ALC gave a secret.
    #[default]
    WhenSecretKnown,
    /// Never.
    Off,
}

/// What the service is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What ALC reaches us by.
    pub public_url: Url,
    /// The workspace access token that every connection uses; `None`: each brings a grant of its own.
    pub attio_api_key: Option<SecretString>,
    /// What Attio's People need.
    pub people: PeopleAttributes,
    /// Whether callbacks have to be signed.
    pub webhook_signature: WebhookSignature,
    /// When what must be done is tried again.
    pub retry_schedule: Schedule,
    /// How long one call to ALC or Attio may take.
    pub upstream_timeout: Duration,
    /// How long finished leads are kept. What they came to is owed to Attio, so no workspace is forgotten before.
    pub retention: Duration,
}

/// The attributes that Attio's People need.
#[derive(Debug, Clone)]
pub struct PeopleAttributes {
    /// The slug of the attribute that shows where a lead stands.
    pub status: String,
    /// What it shows.
    pub titles: [String; 3],
    /// The slug of the attribute that shows ALC's id; `None`: not needed.
    pub lead_id: Option<String>,
    /// The slug of the attribute that shows ALC's word; `None`: not needed.
    pub result: Option<String>,
    /// Attio's rate limit.
    pub writes_per_second: u32,
}

impl PeopleAttributes {
    /// The least that can be asked for.
    #[cfg(test)]
    pub(crate) fn status_alone() -> Self {
        let titles = ["Pending", "Complete", "Failed"].map(str::to_owned);
        Self { status: "alc_status".to_owned(), titles, lead_id: None, result: None, writes_per_second: 25 }
    }
}
